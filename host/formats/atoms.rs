//! Atomic models: positions and scattering weights of the atoms of a PDB or mmCIF file.

use crate::errors::{Code, Coded};
use pdbtbx::{ReadOptions, StrictnessLevel};
use std::path::Path;

/// Error of an atomic model: which file, why, and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct AtomsError {
    /// File concerned.
    pub path: String,
    /// Failed action, cause and remedy.
    pub message: String,
}

impl Coded for AtomsError {
    fn code(&self) -> Code {
        Code::ATOMIC_MODEL
    }
}

/// One atom as a point scatterer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Atom {
    /// x, y, z in Å.
    pub position: [f64; 3],
    /// Scattering weight: the atomic number.
    pub weight: f64,
}

/// Read the atoms of the first model of a `.pdb`, `.cif` or `.mmcif` file (also with `.gz` added).
///
/// Every ATOM and HETATM record counts with its full atomic number, whatever its occupancy.
/// Errors: unknown extension, unreadable or broken file, no atoms, an atom without an element.
pub fn read_atoms(path: &Path) -> Result<Vec<Atom>, AtomsError> {
    let fail = |message: String| AtomsError {
        path: path.display().to_string(),
        message,
    };
    let name = path
        .to_str()
        .ok_or_else(|| fail("the file name is not valid UTF-8; rename the file".into()))?;
    let mut options = ReadOptions::new();
    options
        .set_level(StrictnessLevel::Loose)
        .set_only_first_model(true)
        .set_only_atomic_coords(true);
    if name.ends_with(".gz") {
        options.set_decompress(true);
    }
    let (structure, _) = options.read(name).map_err(|errors| {
        let first = errors
            .first()
            .map(|e| format!("{}: {}", e.short_description(), e.long_description()))
            .unwrap_or_else(|| "no reason given".into());
        fail(format!(
            "cannot be read as an atomic model: {first} (expected a .pdb, .cif or .mmcif file)"
        ))
    })?;
    let mut atoms = Vec::with_capacity(structure.total_atom_count());
    for atom in structure.atoms() {
        let element = atom.element().ok_or_else(|| {
            fail(format!(
                "atom {} ({}) has no known element; fill columns 77-78 of its record",
                atom.serial_number(),
                atom.name()
            ))
        })?;
        atoms.push(Atom {
            position: [atom.x(), atom.y(), atom.z()],
            weight: element.atomic_number() as f64,
        });
    }
    Ok(atoms)
}

/// Move the centre of mass (weights as masses) to the origin.
pub fn centre(atoms: &mut [Atom]) {
    let total: f64 = atoms.iter().map(|a| a.weight).sum();
    for axis in 0..3 {
        let mean = atoms
            .iter()
            .map(|a| a.weight * a.position[axis])
            .sum::<f64>()
            / total;
        for atom in atoms.iter_mut() {
            atom.position[axis] -= mean;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const PDB: &str = "\
ATOM      1  N   LEU B 111     -22.440  63.274  41.675  1.00 38.59           N  
HETATM    2 ZN    ZN B 112     -22.869  63.137  40.240  1.00 38.96          ZN  
END
";
    const CIF: &str = "\
data_TEST
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_entity_id
_atom_site.label_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.pdbx_PDB_model_num
ATOM 1 N N . LEU B 1 111 -22.440 63.274 41.675 1.00 38.59 111 B 1
HETATM 2 ZN ZN . ZN B 2 112 -22.869 63.137 40.240 1.00 38.96 112 B 1
";

    fn written(suffix: &str, text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn pdb_and_mmcif_give_the_same_atoms() {
        let expected = [
            Atom {
                position: [-22.440, 63.274, 41.675],
                weight: 7.0,
            },
            Atom {
                position: [-22.869, 63.137, 40.240],
                weight: 30.0,
            },
        ];
        for (suffix, text) in [(".pdb", PDB), (".cif", CIF)] {
            let file = written(suffix, text);
            assert_eq!(read_atoms(file.path()).unwrap(), expected, "{suffix}");
        }
    }

    #[test]
    fn errors_name_the_file_and_the_reason() {
        let empty = written(".pdb", "END\n");
        let text = read_atoms(empty.path()).unwrap_err().to_string();
        assert!(
            text.contains(empty.path().to_str().unwrap()) && text.contains("No Atoms"),
            "{text}"
        );
        let text = read_atoms(Path::new("absent.pdb")).unwrap_err().to_string();
        assert!(text.contains("absent.pdb"), "{text}");
        let odd = written(".xyz", PDB);
        let text = read_atoms(odd.path()).unwrap_err().to_string();
        assert!(text.contains(".cif"), "{text}");
    }

    #[test]
    fn centring_puts_the_weighted_mean_at_the_origin() {
        let mut atoms = vec![
            Atom {
                position: [1.0, 2.0, 3.0],
                weight: 3.0,
            },
            Atom {
                position: [5.0, 2.0, -1.0],
                weight: 1.0,
            },
        ];
        centre(&mut atoms);
        assert_eq!(atoms[0].position, [-1.0, 0.0, 1.0]);
        assert_eq!(atoms[1].position, [3.0, 0.0, -3.0]);
    }
}
