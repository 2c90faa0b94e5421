use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::{Error, digest};

pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Random(error.to_string()))
}

/// 256 random bits in lower-case hexadecimal: legal as a state for every provider, and as a cookie value.
pub(crate) fn hex() -> Result<SecretString, Error> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    fill(bytes.as_mut_slice())?;
    Ok(SecretString::from(digest::to_hex(bytes.as_slice())))
}
