//! Samples (image, orientation, shift) of a batch on their way through the stages, as device and host both see them.

/// Weights below e^−CUTOFF of the largest cannot change a sum and are dropped.
pub const CUTOFF: f32 = 45.0;

/// Result of a selection over all weights of one image (spec 01 §6.3). Weights are relative to the largest.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Selection {
    /// Largest ln W; −∞ when the image has no finite sample.
    pub max_log: f32,
    /// Σ W / largest W.
    pub sum: f32,
    /// A sample is significant when max_log − ln W is not above this.
    pub cutoff: f32,
    /// Samples counted until the fraction was exceeded.
    pub counted: u32,
    /// Significant samples: those counted and ties of the last one.
    pub kept: u32,
}

impl Selection {
    /// Whether a sample with this ln W is significant.
    #[inline(always)]
    pub fn keeps(&self, log: f32) -> bool {
        self.max_log - log <= self.cutoff
    }
}

/// A significant coarse sample.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Image of the batch.
    pub image: u32,
    /// Row of the list of coarse orientations (all classes).
    pub orientation: u32,
    /// Coarse shift.
    pub shift: u32,
    /// ln of the prior relative to its mean; children inherit it.
    pub log_prior: f32,
}

/// An orientation that an image is compared with in a search with orientations of its own.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OwnOrientation {
    /// Image of the batch.
    pub image: u32,
    /// Row among the orientations of the batch.
    pub row: u32,
    /// Place of its class among those that the image visits.
    pub place: u32,
    /// ln of its prior relative to the mean.
    pub log_prior: f32,
}

/// Significant samples of one image at one coarse orientation: they stand together in the list.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pair {
    /// Image of the batch.
    pub image: u32,
    /// Position of the orientation in the list of parents.
    pub parent: u32,
    /// First sample.
    pub begin: u32,
    /// One past the last sample.
    pub end: u32,
}

/// A coarse orientation that is significant for some image of the batch.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parent {
    /// Row of the list of coarse orientations.
    pub orientation: u32,
    /// First pair.
    pub begin: u32,
    /// One past the last pair.
    pub end: u32,
}

/// Result of the second pass for one image.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Alignment {
    /// The selection over the fine samples.
    pub selection: Selection,
    /// Index of the best fine sample: (sample · orientation children + orientation child) · shift children + shift child.
    pub best: u32,
    /// Row of the coarse orientation of that sample.
    pub orientation: u32,
    /// Fine shift of that sample: coarse shift · shift children + child.
    pub shift: u32,
    /// Σ of the kept weights, divided by the sum over all.
    pub weight: f32,
    /// Numerator of σ_o²: Σ w |r + t − µ|², pixels².
    pub offset2: f32,
}

/// Bit 0 of the flags of the store stage: slices are multiplied by the CTF when residuals are computed.
pub const CTF_CORRECTED: u32 = 1;
/// Images are premultiplied by their CTF (spec 01 §7.1).
pub const PREMULTIPLIED: u32 = 2;
/// V = 1 in the back-projected sums (`--no_map`).
pub const NO_MAP: u32 = 4;

/// Returns the contribution of one pixel of one image to the slice of sums: (re, im, weight), from `image` = F̃·Φ, the weight of the
/// image at this orientation, c = s·C and V (spec 01 §7.1).
#[inline(always)]
pub fn slice_sum(
    image: [f32; 2],
    weight: f32,
    c: f32,
    inverse_variance: f32,
    flags: u32,
) -> [f32; 3] {
    let v = if flags & NO_MAP != 0 {
        1.0
    } else {
        inverse_variance
    };
    let (data, power) = if flags & PREMULTIPLIED != 0 {
        (v, c * v)
    } else {
        (c * v, c * c * v)
    };
    [data * image[0], data * image[1], weight * power]
}

/// Factor of the slices of a reference where they are compared with an image of scale s and c = s·C: c, or s while
/// references are not CTF corrected (spec 01 §5.1, §7.2).
#[inline(always)]
pub fn model_factor(scale: f32, c: f32, flags: u32) -> f32 {
    if flags & CTF_CORRECTED != 0 { c } else { scale }
}

/// Factor of Σγ·A, A the slice of the reference, in the residual that one image adds to the sums of a gradient iteration
/// (spec 05 §5): c·V·Φ (V·Φ for premultiplied data), Φ as [`model_factor`] gives it. Where references are CTF corrected this
/// is the weight that [`slice_sum`] gives for Σγ = 1.
#[inline(always)]
pub fn residual_factor(scale: f32, c: f32, inverse_variance: f32, flags: u32) -> f32 {
    let [data, _, _] = slice_sum([1.0, 0.0], 0.0, c, inverse_variance, flags);
    data * model_factor(scale, c, flags)
}

/// Subtracts the reference from a sum of images: `factor` is the sum over the images of
/// Σγ·[`residual_factor`], `slice` is A.
#[inline(always)]
pub fn residual(sum: [f32; 2], slice: [f32; 2], factor: f32) -> [f32; 2] {
    [sum[0] - factor * slice[0], sum[1] - factor * slice[1]]
}

/// a · b of complex numbers.
#[inline(always)]
pub fn product(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}
