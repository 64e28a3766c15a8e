//! Certificates.

use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};
use crate::x509::error;

pub(super) const CONVS: &[ConvDef] = &[ConvDef::new(
    "x509_v_err_str",
    &[],
    Type::Sint,
    Type::Str,
    x509_v_err_str,
    "Name of an error of certificates; the number when it has none.",
)
.eg(&[
    ("int(0),x509_v_err_str", Some("X509_V_OK")),
    ("int(10),x509_v_err_str", Some("X509_V_ERR_CERT_HAS_EXPIRED")),
    ("int(1234),x509_v_err_str", Some("1234")),
])];

fn x509_v_err_str<'a>(cx: &EvalCtx<'a>, _: &'a Args, input: Sample<'a>) -> Option<Sample<'a>> {
    let Sample::Int(number) = input else { return None };
    match error::name(number) {
        Some(name) => Some(Sample::Str(name.as_bytes())),
        None => Some(Sample::Str(cx.scratch.alloc_slice_copy(number.to_string().as_bytes()))),
    }
}
