//! The portal as operators and others meet it.

mod acts;
mod doors;
mod fixture;
mod hostile;
mod pages;
