//! Behaviour of flyrpc as its users see it.

mod attributes;
mod calls;
mod hostile;
mod macro_traits;
mod processes;
mod support;
mod tarpc_interop;
