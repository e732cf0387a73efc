//! τ² from the FSC of the half-sets (spec 02 §3.4).

/// τ² and ssnr from an FSC curve (spec 02 §3.4); `joined`: the curve is turned into that of the whole data.
pub fn tau2_from_fsc(
    fsc: &[f64],
    sigma2: &[f64],
    tau2_fudge: f64,
    joined: bool,
) -> (Vec<f64>, Vec<f64>) {
    fsc.iter()
        .zip(sigma2)
        .map(|(&fsc, &sigma2)| {
            // max() also turns an undefined value of an empty shell into the floor.
            let mut f = fsc.max(0.001);
            if joined {
                f = (2.0 * f / (1.0 + f)).sqrt();
            }
            let f = f.min(0.999);
            let ssnr = tau2_fudge * f / (1.0 - f);
            (ssnr * sigma2, ssnr)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssnr_crosses_one_at_half_and_at_a_seventh() {
        let ssnr = |fsc: f64, joined| tau2_from_fsc(&[fsc], &[2.0], 1.0, joined).1[0];
        assert!((ssnr(0.5, false) - 1.0).abs() < 1e-12);
        assert!((ssnr(1.0 / 7.0, true) - 1.0).abs() < 1e-12);
        assert!((ssnr(1.0, false) - 999.0).abs() < 1e-9);
        assert!((ssnr(-0.3, false) - 0.001 / 0.999).abs() < 1e-15);
    }
}
