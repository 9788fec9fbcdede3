//! Behaviour of flyrpc as its users see it.

mod calls;
mod hostile;
mod macro_traits;
mod support;
mod tarpc_interop;
