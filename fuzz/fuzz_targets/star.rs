//! Any bytes are read or refused; what is read and written again reads the same.
#![no_main]

use gerelion_fuzz::formats::star::Document;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes, Path::new("fuzz.star")) else {
        return;
    };
    let mut written = Vec::new();
    document.write_to(&mut written).unwrap();
    let kept = |d: &Document| -> Vec<(String, usize, Vec<String>)> {
        let filled = d
            .tables
            .iter()
            .filter(|t| !t.is_empty() && !t.labels().is_empty());
        filled
            .map(|t| {
                let labels = t.labels();
                let cells = labels
                    .iter()
                    .flat_map(|label| t.texts(label).unwrap().map(String::from));
                (t.name().to_string(), t.len(), cells.collect())
            })
            .collect()
    };
    for table in &document.tables {
        for label in table.labels() {
            let _ = (table.real_column(label), table.integer_column(label));
            if !table.is_empty() {
                let _ = (table.vector(0, label), table.boolean(0, label));
            }
        }
    }
    let before = kept(&document);
    // RELION's mark of inner quotes (BEL) cannot stand at the end of a quoted text.
    if before.is_empty() || bytes.contains(&7) {
        return;
    }
    let again = Document::parse(written.as_slice(), Path::new("again.star")).unwrap();
    assert_eq!(
        before,
        kept(&again),
        "{}",
        String::from_utf8_lossy(&written)
    );
});
