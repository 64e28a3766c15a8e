//! Layouts shared by the kernel programs and the user side: `repr(C)`, no padding, network byte
//! order as byte arrays, sizes asserted at compile time.
#![cfg_attr(not(test), no_std)]
