//! The PTX embedded in this program (written by `build.rs`).

/// The kernels compiled for one virtual architecture.
#[derive(Debug, Clone, Copy)]
pub struct PtxVariant {
    /// 70, 80 or 90: the smallest compute capability (10·major + minor) it runs on.
    pub capability: u32,
    /// Version of the PTX language, 70 or 81; decides which driver is too old.
    pub ptx_version: u32,
    /// PTX, compiled by the driver when the module is loaded.
    pub text: &'static str,
}

impl PtxVariant {
    /// CUDA release whose driver first takes this version of PTX, as 12010 for 12.1.
    pub fn needs_driver(&self) -> i32 {
        match self.ptx_version {
            0..=70 => 11000,
            71..=78 => 11080,
            79..=80 => 12000,
            81 => 12010,
            82 => 12020,
            83 => 12030,
            _ => 13000,
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The embedded variants that a card of `capability` (10·major + minor) can run with a driver for CUDA `driver`
/// (12010 for 12.1), best first.
pub fn variants_for(capability: u32, driver: i32) -> impl Iterator<Item = &'static PtxVariant> {
    VARIANTS
        .iter()
        .rev()
        .filter(move |v| v.capability <= capability && v.needs_driver() <= driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_variant_comes_first() {
        if !PTX_AVAILABLE {
            let why = format!("built without kernels ({WHY_NO_PTX})");
            material::skip(material::Need::Kernels, why);
            return;
        }
        let chosen = |capability, driver| -> Vec<u32> {
            variants_for(capability, driver)
                .map(|v| v.capability)
                .collect()
        };
        assert_eq!(chosen(90, 13000), [90, 80, 70]);
        assert_eq!(chosen(120, 13000), [90, 80, 70]);
        assert_eq!(chosen(89, 13000), [80, 70]);
        assert_eq!(chosen(75, 12010), [70]);
        // An older driver still runs an older variant on a new card.
        assert_eq!(chosen(90, 11080), [80, 70]);
        assert!(chosen(61, 13000).is_empty());
    }
}
