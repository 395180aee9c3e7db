//! Secrets of tokens: how they are drawn, taken apart and recognised.
//!
//! | `bbq_` | id: 12 hexadecimal digits | `_` | 43 characters of URL-safe base64: 256 random bits |

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

const PREFIX: &str = "bbq_";
const ID_CHARACTERS: usize = 12;
const RANDOM_CHARACTERS: usize = 43;

/// The SHA-256 of a secret's whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretHash(pub(super) [u8; 32]);

impl SecretHash {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Takes the same time whatever `secret` is.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }

    pub(super) fn to_hexadecimal(&self) -> String {
        hexadecimal(&self.0)
    }

    pub(super) fn from_hexadecimal(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// The id in a secret, if its shape is right.
pub(super) fn id_of(secret: &str) -> Option<&str> {
    let (id, random) = secret.strip_prefix(PREFIX)?.split_once('_')?;
    (is_id(id) && random.len() == RANDOM_CHARACTERS).then_some(id)
}

pub(super) fn is_id(id: &str) -> bool {
    id.len() == ID_CHARACTERS && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A new id that is not taken, and a secret for it.
pub(super) fn draw(is_taken: impl Fn(&str) -> bool) -> (String, String) {
    loop {
        let id = hexadecimal(&rand::random::<[u8; ID_CHARACTERS / 2]>());
        if !is_taken(&id) {
            let random = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
            let secret = format!("{PREFIX}{id}_{random}");
            return (id, secret);
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string never fails");
        text
    })
}
