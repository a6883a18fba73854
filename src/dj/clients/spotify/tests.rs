//! The client against an upstream in virtual time.
