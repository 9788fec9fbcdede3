//! What is made of the figures: lines for programs.

pub(crate) mod lines;

use anyhow::Result;

use crate::figures::Figures;

/// Writes the tables and drawings anew.
pub(crate) fn write(_figures: &Figures) -> Result<()> {
    Ok(())
}
