//! Where a call goes: who is known, whether a node fits a call, and which of those that fit is
//! picked. Pure: no socket, no clock; a link is whatever [`Reach`] says.

mod fit;
mod pick;
mod table;

pub(crate) use self::{
    fit::{Fit, Fits},
    pick::{Choice, Pick, draw, pick},
    table::{Entry, Reach, Standing, Table},
};
