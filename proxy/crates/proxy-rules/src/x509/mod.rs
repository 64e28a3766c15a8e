//! Fields of certificates, written as OpenSSL writes them.

mod certificate;
mod cipher;
pub mod crl;
pub mod error;

pub use certificate::{
    NameForm, algorithm_of_content, alternative_names, attribute, iso_seconds, key_algorithm,
    key_kind, log_seconds, name, name_of_der, parse, readable_seconds, readable_time, sha1,
    signature_algorithm, time,
};
pub use cipher::cipher_name;
