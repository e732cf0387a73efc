//! The GPU: the driver and its libraries (loaded at run time), the kernels embedded in this program, devices, their
//! memory, and launches.

mod buffer;
pub mod ceilings;
mod context;
mod cube;
pub mod driver;
mod error;
mod fft;
pub mod kernels;
mod launch;
mod ledger;
pub mod map;
pub mod meter;
pub mod nccl;
mod pinned;
mod product;
mod spare;
mod staging;
mod transit;
mod upload;
mod volume;

pub use buffer::{Buffer, Element};
pub use context::Device;
pub use cube::{Cube, CubeTransform, Direction};
pub use error::DeviceError;
pub use fft::ImageTransforms;
pub use gpu::launch::View;
pub use product::{Factors, MatrixProduct, Operand, Precision};
pub use spare::{Spare, Spares};
pub use staging::{Coming, Staging};
pub use upload::{Uploaded, Uploader};
pub use volume::DeviceVolume;
