//! The attribute macro of flyrpc.
