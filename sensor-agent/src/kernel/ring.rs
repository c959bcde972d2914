//! Reading the rings.
