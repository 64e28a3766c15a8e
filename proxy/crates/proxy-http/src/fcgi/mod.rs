//! FastCGI (specification 1.0 of Open Market, 1996): records, parameters, and responses in the form of CGI
//! (RFC 3875, 6).

pub mod params;
pub mod record;
pub mod reply;
