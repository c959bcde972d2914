//! Reading plain structures out of bytes: the one place of the decoder with unsafe code.

use sensor_common::record::{
    Exec, Exit, Fork, Header, IdentityCall, Open, Outcome, PathCall, PlainCall, SocketCall,
};

use super::DecodeError;

/// A structure that any bytes of its size are a value of.
///
/// # Safety
/// The type must be `repr(C)`, without padding, and made of integers and arrays of them only.
pub(super) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($name:ident),+) => {
        $(
            // SAFETY: `repr(C)` over integers; `sensor_common::record` asserts sizes that leave no padding.
            unsafe impl Plain for $name {}
        )+
    };
}

plain!(
    Header,
    Fork,
    Exec,
    Exit,
    Open,
    SocketCall,
    PathCall,
    IdentityCall,
    PlainCall,
    Outcome
);

/// Copies a structure that begins at an offset.
pub(super) fn read<T: Plain>(bytes: &[u8], at: usize) -> Result<T, DecodeError> {
    let need = at + size_of::<T>();
    let source = bytes.get(at..need).ok_or(DecodeError::Short {
        have: bytes.len(),
        need,
    })?;
    // SAFETY: `source` has exactly `size_of::<T>()` bytes, any of which make a `T`; the read takes
    // any alignment.
    Ok(unsafe { std::ptr::read_unaligned(source.as_ptr().cast::<T>()) })
}
