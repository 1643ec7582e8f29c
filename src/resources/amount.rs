//! Amounts as people write them.

use std::fmt;

use serde::Deserialize;

use super::Unit;

/// How much of something: as text, since its meaning depends on what it is of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub String);

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is no number, or its unit is none of these.
    #[error("{0} is expected, like {1}")]
    Form(&'static str, &'static str),
    /// A share of something that a host does not have an amount of.
    #[error("a share of the host has no meaning for it")]
    NoShare,
}

impl Amount {
    /// The number, if it is not "none". `whole` is what a share is one of; `cpus` are the host's
    /// processors, where an amount can be for each of them.
    ///
    /// # Errors
    ///
    /// It is no amount of this unit.
    pub fn number(
        &self,
        unit: Unit,
        whole: Option<f64>,
        cpus: Option<u32>,
    ) -> Result<Option<f64>, AmountError> {
        let text = self.0.trim();
        if text == "none" {
            return Ok(None);
        }
        if let Some(share) = text.strip_suffix('%') {
            let share = number(share, unit)?;
            return match whole {
                Some(whole) => Ok(Some(whole * share / 100.0)),
                None => Err(AmountError::NoShare),
            };
        }
        let (text, times) = match (text.strip_suffix("/cpu"), cpus) {
            (Some(each), Some(cpus)) => (each, f64::from(cpus)),
            _ => (text, 1.0),
        };
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (digits, suffix) = text.split_at(split);
        let factor = factor(unit, suffix).ok_or_else(|| expected(unit))?;
        Ok(Some(number(digits, unit)? * factor * times))
    }
}

fn number(digits: &str, unit: Unit) -> Result<f64, AmountError> {
    let number = digits.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    number.filter(|number| *number >= 0.0).ok_or_else(|| expected(unit))
}

fn factor(unit: Unit, suffix: &str) -> Option<f64> {
    let kib = 1024f64;
    Some(match (unit, suffix) {
        (_, "") => 1.0,
        (Unit::Bytes | Unit::BytesPerSecond, "K") => kib,
        (Unit::Bytes | Unit::BytesPerSecond, "M") => kib.powi(2),
        (Unit::Bytes | Unit::BytesPerSecond, "G") => kib.powi(3),
        (Unit::Bytes | Unit::BytesPerSecond, "T") => kib.powi(4),
        (Unit::Seconds, "s") => 1.0,
        (Unit::Seconds, "m") => 60.0,
        (Unit::Seconds, "h") => 3600.0,
        (Unit::Seconds, "d") => 86_400.0,
        _ => return None,
    })
}

fn expected(unit: Unit) -> AmountError {
    match unit {
        Unit::Bytes => AmountError::Form("a size", "512M, 4G or 50%"),
        Unit::BytesPerSecond => AmountError::Form("bytes in a second", "512K or 100M"),
        Unit::Seconds => AmountError::Form("a time", "90, 30m or 12h"),
        Unit::Processors => AmountError::Form("a number of processors", "2, 0.5 or 50%"),
        Unit::Count => AmountError::Form("a number", "4096 or 2048/cpu"),
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
