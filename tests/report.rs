//! Pages about runs: those of the reference program and our own, finished, going on, and with files missing.

mod runs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use roxmltree::{Document as Xml, Node, ParsingOptions};
use runs::{command, fixture, golden, number, run_words, succeeded};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn report(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .arg("report")
        .args(words)
        .output()
        .unwrap()
}

/// The text of the page of a run.
fn page(prefix: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    succeeded(&report(&[
        &prefix.to_string_lossy(),
        "--o",
        &path.to_string_lossy(),
    ]));
    std::fs::read_to_string(path).unwrap()
}

/// Parts of the page that the tests look at; the page must be well-formed.
struct Page<'a>(Xml<'a>);

impl<'a> Page<'a> {
    fn parse(text: &'a str) -> Self {
        let options = ParsingOptions {
            allow_dtd: true,
            ..ParsingOptions::default()
        };
        Self(Xml::parse_with_options(text, options).unwrap())
    }

    fn elements(&self, name: &'static str) -> impl Iterator<Item = Node<'_, 'a>> {
        self.0
            .descendants()
            .filter(move |node| node.has_tag_name(("http://www.w3.org/1999/xhtml", name)))
    }

    /// Cells of the body of a table.
    fn table(&self, id: &str) -> Vec<Vec<String>> {
        let table = self
            .elements("table")
            .find(|t| t.attribute("id") == Some(id));
        let rows = table
            .unwrap()
            .descendants()
            .filter(|n| n.tag_name().name() == "tr");
        let cells = |row: Node| -> Vec<String> {
            row.children()
                .filter(|n| n.tag_name().name() == "td")
                .map(|n| n.text().unwrap_or_default().to_owned())
                .collect()
        };
        rows.map(cells).filter(|cells| !cells.is_empty()).collect()
    }

    /// Descriptions of the images of maps, and their sides in pixels; every one must decode.
    fn images(&self) -> Vec<(String, [u32; 2])> {
        self.elements("img")
            .map(|image| {
                let data = image.attribute("src").unwrap();
                let data = data.strip_prefix("data:image/png;base64,").unwrap();
                let bytes = BASE64_STANDARD.decode(data).unwrap();
                let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
                let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
                let frame = reader.next_frame(&mut pixels).unwrap();
                assert!(
                    pixels.iter().max() > pixels.iter().min(),
                    "an image without contrast"
                );
                let name = image.attribute("alt").unwrap().to_owned();
                (name, [frame.width, frame.height])
            })
            .collect()
    }

    fn refreshes(&self) -> bool {
        self.elements("meta")
            .any(|meta| meta.attribute("http-equiv") == Some("refresh"))
    }

    fn text(&self) -> String {
        self.0
            .descendants()
            .filter_map(|node| node.is_text().then(|| node.text()).flatten())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The resolution of a model file as the page prints it.
fn resolution(model: &Path) -> String {
    let value = number(
        &model.to_string_lossy(),
        "model_general",
        "rlnCurrentResolution",
    );
    if value.is_finite() {
        format!("{value:.2}")
    } else {
        "–".into()
    }
}

/// Six views of each map: three slices, three projections.
fn check_images(page: &Page, titles: &[&str], side: u32) {
    let (surfaces, images): (Vec<_>, Vec<_>) = page
        .images()
        .into_iter()
        .partition(|(name, _)| name.contains("surface seen"));
    assert_eq!(images.len(), 6 * titles.len(), "{images:?}");
    let first = surfaces
        .iter()
        .filter(|(name, _)| name.starts_with(titles[0]));
    let sides: Vec<[u32; 2]> = first.map(|(_, sides)| *sides).collect();
    assert_eq!(sides, [[300, 300]; 3], "{surfaces:?}");
    for title in titles {
        let of_map = images.iter().filter(|(name, _)| name.starts_with(title));
        let sides: Vec<[u32; 2]> = of_map.map(|(_, sides)| *sides).collect();
        assert_eq!(sides, [[side, side]; 6], "{title}");
    }
}

#[test]
fn a_classification_of_the_reference_program() {
    let prefix = fixture().join("class3d_c4/run");
    let text = page(&prefix);
    let page = Page::parse(&text);
    let rows = page.table("iterations");
    assert_eq!(rows.len(), 4, "{rows:?}");
    for (iteration, row) in rows.iter().enumerate() {
        let model = fixture().join(format!("class3d_c4/run_it{iteration:03}_model.star"));
        assert_eq!(row[0], iteration.to_string());
        assert_eq!(row[1], resolution(&model), "iteration {iteration}");
    }
    check_images(&page, &["Class 1"], 48);
    let words = page.text();
    for expected in [
        "finished: iteration 3 of 3",
        "RELION 5.0.1",
        "--ini_high",
        "Missing: run_it000_optimiser.star, run_it002_optimiser.star, run_it003_optimiser.star.",
        "400 particles",
        "with all copies by point group C4",
    ] {
        assert!(words.contains(expected), "{expected}");
    }
    assert!(!page.refreshes() && !text.contains("<script") && !text.contains("http-equiv"));
}

/// Averages of every class on a sheet, and their history.
#[test]
fn a_2d_classification_of_the_reference_program() {
    let Some(folder) = golden("class2d_em") else {
        return;
    };
    let text = page(&folder.join("run"));
    let page = Page::parse(&text);
    let images = page.images();
    // Stacks of iterations 0, 1, 2, 6, 7 and 8.
    assert_eq!(images.len(), 8 + 8 * 6, "{images:?}");
    let names: Vec<&str> = images[..8].iter().map(|(name, _)| &**name).collect();
    assert_eq!((names[0], names[7]), ("Class 5, 24.8 %", "Class 1, 1.6 %"));
    assert!(images[..8].iter().all(|(_, sides)| *sides == [64, 64]));
    assert_eq!(page.table("classes").len(), 8);
    let words = page.text();
    for expected in [
        "2D classification, finished: iteration 8 of 8",
        "Class averages, iteration 8",
        "run_it008_classes.mrcs, sorted",
        "6.3° · 3.6 Å",
    ] {
        assert!(words.contains(expected), "{expected}");
    }
    assert!(!words.contains("class001.mrc") && !words.contains("Symmetry"));
}

/// The schedule of gradient runs, and maps from nothing in all written iterations that have them.
#[test]
fn gradient_runs_of_the_reference_program() {
    let Some(folder) = golden("class2d_vdam") else {
        return;
    };
    let text = page(&folder.join("run"));
    let of_2d = Page::parse(&text);
    let rows = of_2d.table("iterations");
    let row = rows.iter().find(|row| row[0] == "15").unwrap();
    let cells: Vec<&str> = row[12..15].iter().map(|cell| &**cell).collect();
    assert_eq!(cells, ["0.300", "190", "2.00"], "{row:?}");
    assert_eq!(rows[6][13], "all");
    let words = of_2d.text();
    assert!(words.contains("2D classification (gradient refinement)"));
    assert!(words.contains("Step size") && words.contains("Particles per iteration"));

    let text = page(&golden("inimodel_vdam").unwrap().join("run"));
    let of_3d = Page::parse(&text);
    let words = of_3d.text();
    for expected in [
        "Initial model, finished",
        "600, of which 528 have been used so far",
    ] {
        assert!(words.contains(expected), "{expected}");
    }
    let images = of_3d.images();
    assert_eq!(images.len(), 6 + 3 + 2, "{images:?}");
    assert_eq!(images[0].0, "Class 1 in iteration 0");
}

#[test]
fn a_refinement_of_the_reference_program() {
    let prefix = fixture().join("refine3d_c4/run");
    let text = page(&prefix);
    let page = Page::parse(&text);
    let rows = page.table("iterations");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0][0], "final");
    let model = fixture().join("refine3d_c4/run_model.star");
    assert_eq!(rows[0][1], resolution(&model));
    assert_eq!(rows[0][1], "10.80");
    check_images(&page, &["Final map"], 48);
    let words = page.text();
    for expected in [
        "3D auto-refine",
        "FSC between the half maps",
        "0.143",
        "run_half1_class001_unfil.mrc",
    ] {
        assert!(words.contains(expected), "{expected}");
    }
}

/// A run of ours with two classes, then with its files taken away as if it were still writing them.
#[test]
fn a_run_of_ours_finished_and_going_on() {
    let data = fixture();
    let mut words = command(&data.join("class3d_c4"));
    words.extend("--K 2 --iter 3".split(' ').map(String::from));
    let inputs = ["bundle.star", "bundle.mrcs", "bundle_truth1.mrc"].map(|f| data.join(f));
    let (_folder, root) = run_words(&words, &inputs);
    let file = |tail: &str| PathBuf::from(format!("{root}{tail}"));

    let text = page(&file(""));
    let finished = Page::parse(&text);
    let rows = finished.table("iterations");
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3][1], resolution(&file("_it003_model.star")));
    assert_eq!(finished.table("classes").len(), 2);
    check_images(&finished, &["Class 1", "Class 2"], 48);
    assert!(rows[3][12].ends_with('s'), "a time, {rows:?}");
    assert!(!finished.text().contains("Time left"));

    // The last iteration is being written: its optimiser is not there yet.
    let kept = file("_it003_optimiser.kept");
    std::fs::rename(file("_it003_optimiser.star"), &kept).unwrap();
    let text = page(&file(""));
    let going_on = Page::parse(&text);
    assert_eq!(going_on.table("iterations").len(), 3);
    let words = going_on.text();
    assert!(words.contains("running: iteration 2 of 3"), "{words}");
    assert!(words.contains("Time left") && words.contains("Iteration 3 has no optimiser file"));

    // The optimiser is there, but a map (or the model) is cut off: the iteration before is shown, and the file named.
    std::fs::rename(&kept, file("_it003_optimiser.star")).unwrap();
    for (tail, length) in [("_it003_class002.mrc", 5000), ("_it003_model.star", 900)] {
        let whole = std::fs::read(file(tail)).unwrap();
        std::fs::write(file(tail), &whole[..length]).unwrap();
        let text = page(&file(""));
        let cut = Page::parse(&text);
        assert_eq!(cut.table("iterations").len(), 3, "{tail}");
        check_images(&cut, &["Class 1", "Class 2"], 48);
        assert!(cut.text().contains(&format!("run{tail}")), "{tail}");
        std::fs::write(file(tail), whole).unwrap();
    }

    // Of an earlier iteration it is an error.
    std::fs::write(
        file("_it001_model.star"),
        "data_model_general\n_rlnPixelSize x\n",
    )
    .unwrap();
    let output = report(&[&root]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("_it001_model.star"), "{error}");
}

#[test]
fn a_prefix_without_files_is_an_error() {
    for (prefix, part) in [
        ("no/such/folder/run", "no/such/folder"),
        (
            &*fixture().join("run").to_string_lossy(),
            "run_itNNN_model.star",
        ),
        (
            &*fixture().join("class3d_c4").to_string_lossy(),
            "did you mean",
        ),
    ] {
        let output = report(&[prefix]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(
            error.starts_with("ERROR:\nGR-0201: ") && error.contains(part),
            "{error}"
        );
    }
}

/// The page follows the run and stays when the run is over.
#[test]
fn a_watched_run() {
    let source = fixture().join("class3d_c4");
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        std::fs::copy(source.join(from), folder.path().join(to)).unwrap();
    };
    let iteration = |number: usize| {
        let name = |tail: &str| format!("run_it{number:03}_{tail}.star");
        copy(&name("model"), &name("model"));
        copy("run_it001_sampling.star", &name("sampling"));
        copy("run_it001_optimiser.star", &name("optimiser"));
    };
    iteration(1);
    let prefix = folder.path().join("run");
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_gerelion"))
        .args(["report", &prefix.to_string_lossy(), "--watch", "1"])
        .spawn()
        .unwrap();
    let path = folder.path().join("run_report.html");
    let rows_after = |rows: usize| {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(120) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if !text.is_empty() && Page::parse(&text).table("iterations").len() == rows {
                return text;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no page with {rows} iterations");
    };
    assert!(Page::parse(&rows_after(1)).refreshes());
    iteration(2);
    assert!(Page::parse(&rows_after(2)).refreshes());
    assert!(watcher.try_wait().unwrap().is_none(), "the run goes on");
    iteration(3);
    assert!(!Page::parse(&rows_after(3)).refreshes());
    assert!(watcher.wait().unwrap().success());
}

/// A refinement that goes on has half maps, and no end in sight.
#[test]
fn larger_reference_runs() {
    if let Some(folder) = golden("refine3d_c4") {
        let text = page(&folder.join("run"));
        let page = Page::parse(&text);
        assert_eq!(page.table("iterations").len(), 16);
        check_images(&page, &["Final map", "Half map 1", "Half map 2"], 64);
    }
    if let Some(folder) = golden("refine3d_c4") {
        let going_on = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with("run_it") {
                std::fs::copy(&path, going_on.path().join(name)).unwrap();
            }
        }
        let text = page(&going_on.path().join("run"));
        let page = Page::parse(&text);
        assert_eq!(page.table("iterations").len(), 15);
        check_images(&page, &["Half map 1", "Half map 2"], 64);
        let words = page.text();
        assert!(words.contains("running: iteration 14"), "{words}");
        assert!(words.contains("not known: auto-refine decides"), "{words}");
    }
    if let Some(folder) = golden("refine3d_bgal_real") {
        let text = page(&folder.join("run"));
        let words = Page::parse(&text).text();
        assert!(words.contains("does not fall to zero") && words.contains("Nyquist"));
    }
    for name in ["class3d_k2_c4", "class3d_k1_noperturb"] {
        if let Some(folder) = golden(name) {
            let text = page(&folder.join("run"));
            let page = Page::parse(&text);
            assert!(!page.images().is_empty());
            assert!(text.len() < 3_000_000, "{} bytes", text.len());
            // Everybody can read it: each drawing has words, each column a head.
            let drawings = page
                .0
                .descendants()
                .filter(|n| n.tag_name().name() == "svg");
            assert!(drawings.clone().count() > 2);
            for drawing in drawings {
                assert!(
                    drawing
                        .attribute("aria-label")
                        .is_some_and(|label| !label.is_empty())
                );
            }
            for head in page.elements("th") {
                assert!(head.attribute("scope").is_some());
            }
            if !page.text().contains("2D classification") {
                assert!(page.text().contains("Noise of the optics groups"));
            }
        }
    }
}
