//! The first pass of local searches: images projected onto and compared with orientations of their own.

use super::batch::Batch;
use super::uploaded::Uploaded;
use super::*;
use gpu::kernels::groups::{PhasesViews, ReferencesViews};
use gpu::kernels::local::{
    LocalDifferences10, LocalDifferences22, LocalDifferences32, LocalDifferences40,
};
use gpu::samples::OwnOrientation;
use std::time::Instant;

/// Every image has every `SPARSE`-th orientation.
const SPARSE: usize = 3;

#[test]
fn local_differences_follow_the_definition() {
    let Some(device) = device() else { return };
    let batch = Batch::new();
    let d = Uploaded::new(&device, &batch);
    // SAFETY: array sizes as the kernels demand.
    unsafe {
        batch.local(&device, &d, "local_differences_10", |a, device| {
            device.launch(&a).unwrap();
        });
        batch.local(&device, &d, "local_differences_22", |a, device| {
            device.launch(&LocalDifferences22::from(a)).unwrap();
        });
        batch.local(&device, &d, "local_differences_32", |a, device| {
            device.launch(&LocalDifferences32::from(a)).unwrap();
        });
        batch.local(&device, &d, "local_differences_40", |a, device| {
            device.launch(&LocalDifferences40::from(a)).unwrap();
        });
    }
}

impl Batch {
    fn local(
        &self,
        device: &Device,
        d: &Uploaded,
        name: &str,
        launch: impl Fn(LocalDifferences10, &Device),
    ) {
        let count = self.pixels.len();
        let coarse_axes: Vec<SliceAxes> = self.axes.iter().step_by(CHILDREN).copied().collect();
        let mut own = Vec::new();
        let mut first = vec![0u32];
        for image in 0..IMAGES {
            for row in (image % SPARSE..ORIENTATIONS).step_by(SPARSE) {
                own.push(OwnOrientation {
                    image: image as u32,
                    row: row as u32,
                    ..OwnOrientation::default()
                });
            }
            first.push(own.len() as u32);
        }
        // An order that leaps about.
        let walk: Vec<u32> = (0..7).flat_map(|k| (k..count as u32).step_by(7)).collect();
        let values = poisoned(device, own.len() * SHIFTS);
        let (d_own, d_first) = (device.upload(&own).unwrap(), device.upload(&first).unwrap());
        let (d_axes, d_walk) = (
            device.upload(&coarse_axes).unwrap(),
            device.upload(&walk).unwrap(),
        );
        let arguments = LocalDifferences10 {
            most: ORIENTATIONS.div_ceil(SPARSE) as u32,
            first: d_first.view(),
            own: d_own.view(),
            references: ReferencesViews {
                volumes: d.references.view(),
                shape: d.shape.view(),
                axes: d_axes.view(),
                class_of: d.class_of.view(),
            },
            walk: d_walk.view(),
            pixels: d.pixels.view(),
            compared: d.compared(self),
            // The coarse shifts are every fourth row of the phases.
            phases: PhasesViews {
                shifts: SHIFTS as u32,
                rows: d.phases.view(),
                stride: (self.stride * SHIFT_CHILDREN) as u32,
            },
            shifts: SHIFTS as u32,
            values: values.view(),
        };
        let clock = Instant::now();
        launch(arguments, device);
        device.synchronise().unwrap();
        println!("{name} took {:.2} ms", clock.elapsed().as_secs_f64() * 1e3);
        let values = device.download(&values, own.len() * SHIFTS).unwrap();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        for (own, values) in own.iter().zip(values.chunks_exact(SHIFTS)).step_by(5) {
            let row = own.row as usize;
            for (t, &value) in values.iter().enumerate() {
                let image = own.image as usize;
                expected.push(self.difference(row * CHILDREN, row, image, t * SHIFT_CHILDREN));
                found.push(value);
            }
        }
        assert_close(name, found, expected, 2e-6);
    }
}
