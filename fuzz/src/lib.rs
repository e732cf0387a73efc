//! The parsers alone, from the main crate's sources: they build in seconds, the whole engine does not.

#[path = "../../host/formats"]
pub mod formats {
    pub mod file_name;
    pub mod mrc;
    mod spider;
    pub mod star;
    pub mod volume;
}
