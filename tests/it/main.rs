//! Behaviour of flyrpc as its users see it.

mod macro_traits;
mod tarpc_interop;
