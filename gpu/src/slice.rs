//! Central slices of an oversampled, half-complex reference (spec 01 §1.5), or in-plane rotations of the transform of
//! a 2D reference, which is a volume of one plane (spec 04 §5).

/// Geometry of a reference or of back-projection sums: `depth`·`side`·`side` logical voxels, x ≥ 0 half stored,
/// x fastest, z and y centred.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeShape {
    /// Side 2h+1 of the full cube or square.
    pub side: u32,
    /// h = (side − 1)/2: largest logical index along x and y.
    pub half: u32,
    /// Planes along z: `side` for a 3D reference, 1 for a 2D one.
    pub depth: u32,
    /// Largest |p|² (padded voxels) that is interpolated, with a tolerance for rounding.
    pub max_radius2: f32,
}

/// Largest |p|² of positions inside a sphere of `radius`: the tolerance keeps those that lie exactly on it.
pub fn reach2(radius: f32) -> f32 {
    radius * radius * (1.0 + 2e-6)
}

impl VolumeShape {
    /// Shape of a volume whose reference is known up to `r_max` unpadded shells with padding `padding`
    /// (spec 02 §1.1).
    pub fn new(side: u32, r_max: u32, padding: f32) -> Self {
        Self {
            side,
            half: (side - 1) / 2,
            depth: side,
            max_radius2: reach2(padding * r_max as f32),
        }
    }

    /// Returns the shape of a 2D reference, likewise. Its limit is one of whole numbers,
    /// trunc(|p|²) ≤ trunc(P·r_max)², so that pixels on the circle pass whatever the rounding (spec 04 §5).
    pub fn flat(side: u32, r_max: u32, padding: f32) -> Self {
        let radius = (padding * r_max as f32) as u32;
        Self {
            side,
            half: (side - 1) / 2,
            depth: 1,
            max_radius2: ((radius * radius + 1) as f32).next_down(),
        }
    }

    /// Returns the shape of a volume of another side and as many dimensions.
    #[inline(always)]
    pub fn of_side(&self, side: u32) -> Self {
        Self {
            side,
            half: side / 2,
            depth: if self.depth == 1 { 1 } else { side },
            ..*self
        }
    }

    /// Number of stored complex voxels.
    pub fn len(&self) -> usize {
        self.depth as usize * self.plane()
    }

    /// Largest logical index along z: `half` for a 3D reference, 0 for a 2D one.
    #[inline(always)]
    pub fn half_depth(&self) -> u32 {
        self.depth / 2
    }

    /// Stored voxels that a position is interpolated between: the eight corners of a cube, or the four of a square.
    #[inline(always)]
    pub fn corners(&self) -> u32 {
        if self.depth == 1 { 4 } else { 8 }
    }

    /// Distance from the first to the last corner of an interpolation, in stored voxels.
    #[inline(always)]
    pub fn reach(&self) -> usize {
        let back = if self.depth == 1 { 0 } else { self.plane() };
        back + self.row() + 1
    }

    /// Voxels of a row along x.
    #[inline(always)]
    pub fn row(&self) -> usize {
        self.half as usize + 1
    }

    /// Voxels of a plane of constant z.
    #[inline(always)]
    pub fn plane(&self) -> usize {
        self.row() * self.side as usize
    }

    /// Index of the voxel at stored x, y, z.
    #[inline(always)]
    pub fn index(&self, [x, y, z]: [u32; 3]) -> usize {
        z as usize * self.plane() + y as usize * self.row() + x as usize
    }

    /// Interpolates along y and z between pairs of voxels that are neighbours along x. `pair` reads the pair at an offset
    /// from the first corner: (re, im) of the left voxel, then of the right one.
    #[inline(always)]
    pub fn blend_pairs(&self, [_, fy, fz]: [f32; 3], pair: impl Fn(usize) -> [f32; 4]) -> [f32; 4] {
        let (row, plane) = (self.row(), self.plane());
        let mix = |a: [f32; 4], b: [f32; 4], f: f32| -> [f32; 4] {
            [
                a[0] + f * (b[0] - a[0]),
                a[1] + f * (b[1] - a[1]),
                a[2] + f * (b[2] - a[2]),
                a[3] + f * (b[3] - a[3]),
            ]
        };
        let front = mix(pair(0), pair(row), fy);
        if self.depth == 1 {
            return front;
        }
        mix(front, mix(pair(plane), pair(plane + row), fy), fz)
    }

    /// True for a volume without voxels.
    pub fn is_empty(&self) -> bool {
        self.side == 0
    }
}

/// Where the pixels of a slice lie in the reference: p = `x_axis`·x + `y_axis`·y in padded voxels, (x, y, z) order.
/// It is P·A⁻¹ restricted to the image plane, with magnification and pixel-size differences folded in.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SliceAxes {
    /// Step for one image pixel along x.
    pub x_axis: [f32; 3],
    /// Step for one image pixel along y.
    pub y_axis: [f32; 3],
}

impl SliceAxes {
    /// Returns the axes in a volume whose padding factor is larger by `factor`.
    pub fn scaled(&self, factor: f32) -> Self {
        let scale = |axis: [f32; 3]| axis.map(|step| step * factor);
        Self {
            x_axis: scale(self.x_axis),
            y_axis: scale(self.y_axis),
        }
    }

    /// Reference position of image pixel (x, y).
    #[inline(always)]
    pub fn position(&self, x: f32, y: f32) -> [f32; 3] {
        [
            self.x_axis[0] * x + self.y_axis[0] * y,
            self.x_axis[1] * x + self.y_axis[1] * y,
            self.x_axis[2] * x + self.y_axis[2] * y,
        ]
    }
}

/// Curvature of a slice that follows the Ewald sphere: pixel (x, y) lies off the plane by
/// `axis`·(xx·x² + xy·x·y + yy·y²) (spec 02 §1.3 step 2, spec 06 §8.3).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bend {
    /// Padded voxels (x, y, z).
    pub axis: [f32; 3],
    /// xx, xy, yy.
    pub form: [f32; 3],
}

impl Bend {
    /// Moves a position on the plane to where pixel (x, y) lies.
    #[inline(always)]
    pub fn bent(&self, p: [f32; 3], x: f32, y: f32) -> [f32; 3] {
        let [xx, xy, yy] = self.form;
        let off = x * (xx * x + xy * y) + yy * y * y;
        [
            p[0] + self.axis[0] * off,
            p[1] + self.axis[1] * off,
            p[2] + self.axis[2] * off,
        ]
    }
}

/// Trilinear value of the reference at `p`; zero outside the limiting sphere.
///
/// `volume` holds `shape.len()` values as interleaved (re, im). Positions with p_x < 0 use the Friedel mate.
#[inline(always)]
pub fn slice_value(volume: &[[f32; 2]], shape: &VolumeShape, p: [f32; 3]) -> [f32; 2] {
    let Some(at) = insertion(shape, shape.max_radius2, p) else {
        return [0.0, 0.0];
    };
    // One bounds check for all corners.
    let Some(corners) = volume.get(at.base..=at.base + shape.reach()) else {
        return [0.0, 0.0];
    };
    at.blend(shape, |offset| corners[offset])
}

/// As [`slice_value`], with `load` reading the voxel of an index below `shape.len()`.
#[inline(always)]
pub fn slice_value_from(
    load: impl Fn(usize) -> [f32; 2],
    shape: &VolumeShape,
    p: [f32; 3],
) -> [f32; 2] {
    match insertion(shape, shape.max_radius2, p) {
        Some(at) => at.blend(shape, |offset| load(at.base + offset)),
        None => [0.0, 0.0],
    }
}

/// The stored voxels a slice pixel is spread over in back-projection, and their trilinear (in 2D bilinear) weights:
/// the adjoint of [`slice_value`] (spec 02 §1.3, spec 04 §7).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Insertion {
    /// Index of the corner (z0, y0, x0).
    pub base: usize,
    /// Plane of that corner.
    pub z0: u32,
    /// Fractions along x, y, z.
    pub fraction: [f32; 3],
    /// The value must be conjugated (p_x was negative).
    pub conjugate: bool,
}

impl Insertion {
    /// Offset from `base` and share of a corner below [`VolumeShape::corners`] (bits: x, y, z).
    #[inline(always)]
    pub fn corner(&self, shape: &VolumeShape, corner: u32) -> (usize, f32) {
        let [fx, fy, fz] = self.fraction;
        let (dx, dy, dz) = (corner & 1, corner >> 1 & 1, corner >> 2);
        let share = |f: f32, d: u32| if d == 1 { f } else { 1.0 - f };
        let offset = dz as usize * shape.plane() + dy as usize * shape.row() + dx as usize;
        (offset, share(fz, dz) * share(fy, dy) * share(fx, dx))
    }

    /// Weighted mean of the corners; `corner` reads the voxel at an offset from `base`.
    #[inline(always)]
    fn blend(&self, shape: &VolumeShape, corner: impl Fn(usize) -> [f32; 2]) -> [f32; 2] {
        let pair = |offset: usize| -> [f32; 4] {
            let a = corner(offset);
            let b = corner(offset + 1);
            [a[0], a[1], b[0], b[1]]
        };
        let [left_re, left_im, right_re, right_im] = shape.blend_pairs(self.fraction, pair);
        let fx = self.fraction[0];
        let re = left_re + fx * (right_re - left_re);
        let im = left_im + fx * (right_im - left_im);
        [re, if self.conjugate { -im } else { im }]
    }
}

/// Where the pixel at `p` is inserted; None outside |p|² ≤ `max_radius2`.
#[inline(always)]
pub fn insertion(shape: &VolumeShape, max_radius2: f32, p: [f32; 3]) -> Option<Insertion> {
    if !is_inside(max_radius2, p) {
        return None;
    }
    // SAFETY: the position lies inside the sphere.
    let corner = unsafe { corner(shape, p) };
    Some(Insertion {
        base: shape.index(corner.place),
        z0: corner.place[2],
        fraction: corner.fraction,
        conjugate: corner.conjugate,
    })
}

/// The first of the voxels that a slice pixel is spread over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    /// Stored x, y, z.
    pub place: [u32; 3],
    /// Fractions along x, y, z.
    pub fraction: [f32; 3],
    /// The value must be conjugated (p_x was negative).
    pub conjugate: bool,
}

/// As [`insertion`], without a branch, for loops that the compiler makes vector instructions of: whether the pixel is inserted, and
/// where; the origin's place where it is not.
#[inline(always)]
pub fn insertion_or_origin(shape: &VolumeShape, max_radius2: f32, p: [f32; 3]) -> (bool, Corner) {
    let inside = is_inside(max_radius2, p);
    // Written out: `map` is not always compiled into the loop of the caller.
    let kept = |v: f32| if inside { v } else { 0.0 };
    let p = [kept(p[0]), kept(p[1]), kept(p[2])];
    // SAFETY: the position is the origin or lies inside the sphere.
    (inside, unsafe { corner(shape, p) })
}

/// Written so that a position that is not a number is outside as well.
#[inline(always)]
fn is_inside(max_radius2: f32, [x, y, z]: [f32; 3]) -> bool {
    x * x + y * y + z * z <= max_radius2
}

/// # Safety
/// `p` lies within the sphere of the volume.
#[inline(always)]
unsafe fn corner(shape: &VolumeShape, p: [f32; 3]) -> Corner {
    let [mut x, mut y, mut z] = p;
    let conjugate = x < 0.0;
    if conjugate {
        x = -x;
        y = -y;
        z = -z;
    }
    let (y, z) = (y + shape.half as f32, z + shape.half_depth() as f32);
    // SAFETY: all three are numbers between 0 and the side of the volume; in a 2D reference z is 0.
    let (x0, y0, z0) = unsafe {
        (
            x.to_int_unchecked::<i32>() as u32,
            y.to_int_unchecked::<i32>() as u32,
            z.to_int_unchecked::<i32>() as u32,
        )
    };
    Corner {
        place: [x0, y0, z0],
        fraction: [x - x0 as f32, y - y0 as f32, z - z0 as f32],
        conjugate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume whose value is a linear function of the coordinates is interpolated exactly.
    #[test]
    fn trilinear_interpolation_is_exact_for_linear_functions() {
        let shape = VolumeShape::new(13, 4, 1.0);
        let h = shape.half as i32;
        let mut volume = vec![[0.0f32; 2]; shape.len()];
        let mut i = 0;
        for z in -h..=h {
            for y in -h..=h {
                for x in 0..=h {
                    volume[i] = [
                        2.0 * x as f32 + 3.0 * y as f32 - z as f32,
                        x as f32 - 0.5 * z as f32,
                    ];
                    i += 1;
                }
            }
        }
        let v = slice_value(&volume, &shape, [1.25, -2.5, 0.75]);
        assert!((v[0] - (2.5 - 7.5 - 0.75)).abs() < 1e-5);
        assert!((v[1] - (1.25 - 0.375)).abs() < 1e-5);
        // Friedel mate: conjugate of the value at −p.
        let m = slice_value(&volume, &shape, [-1.25, 2.5, -0.75]);
        assert_eq!([m[0], -m[1]], v);
        assert_eq!(slice_value(&volume, &shape, [4.1, 0.0, 0.0]), [0.0, 0.0]);
    }

    /// ⟨slice(V), s⟩ = ⟨V, insert(s)⟩ for one pixel: same corners, same weights.
    #[test]
    fn insertion_is_the_adjoint_of_interpolation() {
        let shape = VolumeShape::new(13, 4, 1.0);
        let mut volume = vec![[0.0f32; 2]; shape.len()];
        for (i, v) in volume.iter_mut().enumerate() {
            *v = [(i % 17) as f32 - 8.0, (i % 5) as f32];
        }
        let p = [0.3f32, 1.7, -2.2];
        let at = insertion(&shape, shape.max_radius2, p).unwrap();
        let row = shape.half as usize + 1;
        let plane = row * shape.side as usize;
        let mut sum = [0.0f32; 2];
        for (dz, wz) in [(0, 1.0 - at.fraction[2]), (1, at.fraction[2])] {
            for (dy, wy) in [(0, 1.0 - at.fraction[1]), (1, at.fraction[1])] {
                for (dx, wx) in [(0, 1.0 - at.fraction[0]), (1, at.fraction[0])] {
                    let v = volume[at.base + dz * plane + dy * row + dx];
                    sum[0] += wz * wy * wx * v[0];
                    sum[1] += wz * wy * wx * v[1];
                }
            }
        }
        let value = slice_value(&volume, &shape, p);
        assert!((value[0] - sum[0]).abs() < 1e-4 && (value[1] - sum[1]).abs() < 1e-4);
    }
}
