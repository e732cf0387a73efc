//! Gradient-driven refinement, "VDAM" (Kimanius et al. 2021; spec 05): schedules, moments of the gradient, damped steps,
//! replacement of classes, centring.
//!
//! Order of use in an iteration: [`schedule::Schedule`] tells what kind of iteration it is; after the expectation step the
//! residual sums of both pseudo-halves of every class are symmetrised and taken by [`moments::advance`]; then
//! [`replacement::choose`] and [`replacement::replace`]; then [`step::step`] for every class but the one replaced.

pub mod centring;
pub mod moments;
pub mod replacement;
pub mod schedule;
pub mod step;
