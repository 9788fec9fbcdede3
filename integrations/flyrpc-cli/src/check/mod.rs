//! `flyrpc check`: why a node is not seen or not called.
//!
//! [`observe`] gathers facts with [`dial`], [`stages`] judges them with [`failed`], [`answered`] and [`cluster`], and
//! [`render`] shows the result. Only the first two connect to anything.

mod answered;
mod cluster;
mod dial;
mod failed;
mod noting_env;
mod observe;
mod render;
mod stages;

#[cfg(test)]
mod tests;

use crate::{
    exit::{self, Failure},
    options::Options,
    output::{print, print_json},
};

pub(crate) async fn run(
    options: &Options,
    target: Option<&str>,
    ascii: bool,
) -> Result<u8, Failure> {
    let observed = observe::observe(options, target).await?;
    let checks: Vec<stages::Check> = observed.iter().map(stages::judge).collect();
    if options.json {
        print_json(&checks)?;
    } else {
        let marks = if ascii { render::Marks::ASCII } else { render::Marks::of_locale() };
        let blocks: Vec<String> = checks.iter().map(|check| render::text(check, marks)).collect();
        print(&blocks.join("\n"))?;
    }
    let is_ok = checks.iter().all(|check| check.failed().is_none());
    Ok(if is_ok { exit::OK } else { exit::CHECK_FAILED })
}
