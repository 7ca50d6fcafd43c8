//! The mapping of application error codes into HTTP/3's, for the stack that leaves it to its users.

const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

/// The HTTP/3 code of an application's: one in 31 is left out, as GREASE has it.
pub(crate) fn to_http(app: u32) -> u64 {
    let app = u64::from(app);
    FIRST + app + app / 0x1e
}

/// The application's code, if it is one.
pub(crate) fn from_http(code: u64) -> Option<u32> {
    if !(FIRST..=LAST).contains(&code) || (code - 0x21).is_multiple_of(0x1f) {
        return None;
    }
    let shifted = code - FIRST;
    u32::try_from(shifted - shifted / 0x1f).ok()
}
