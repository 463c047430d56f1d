//! Numbers: comparing any two of them exactly, and calculating with a check.

use std::cmp::Ordering;

use super::error::Problem;
use super::syntax::Operator;
use super::value::Value;

/// A number as it is calculated with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(i128),
    Double(f64),
}

/// 2^64: past every whole number that a value can hold.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

impl Number {
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Integer(value) => Number::Whole(i128::from(*value)),
            Value::Unsigned(value) => Number::Whole(i128::from(*value)),
            Value::Double(value) => Number::Double(*value),
            Value::Decimal(digits) => Number::Double(digits.parse().ok()?),
            Value::Null | Value::Boolean(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => return None,
        })
    }

    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Number::Whole(one), Number::Whole(other)) => Some(one.cmp(&other)),
            (Number::Double(one), Number::Double(other)) => one.partial_cmp(&other),
            (Number::Whole(one), Number::Double(other)) => against(one, other),
            (Number::Double(one), Number::Whole(other)) => against(other, one).map(Ordering::reverse),
        }
    }

    pub(super) fn double(self) -> f64 {
        match self {
            Number::Whole(value) => to_double(value),
            Number::Double(value) => value,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a double is the nearest one; that is what was asked for")]
fn to_double(value: i128) -> f64 {
    value as f64
}

/// Compares without making a double of the whole number, which would round it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the double was found to be in range, and is cut on purpose"
)]
fn against(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= BEYOND {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let cut = double.trunc();
    Some(whole.cmp(&(cut as i128)).then_with(|| cut.total_cmp(&double)))
}

/// The whole number that `double` is when its fraction is cut off.
#[expect(clippy::cast_possible_truncation, reason = "checked to be in range, and cut on purpose")]
pub(super) fn cut(double: f64) -> Option<i128> {
    (double.abs() < BEYOND).then_some(double as i128)
}

pub(super) fn negated<'a>(value: &Value<'a>) -> Result<Value<'a>, Problem> {
    match value {
        Value::Integer(value) => value.checked_neg().map(Value::Integer).ok_or(Problem::Overflow),
        Value::Double(_) | Value::Decimal(_) => match Number::of(value) {
            Some(number) => finite(-number.double()),
            None => Err(Problem::Overflow),
        },
        other => Err(Problem::Type { expected: "a number", found: other.kind() }),
    }
}

/// `one operator other` of two numbers; none if they are not both numbers.
pub(super) fn calculated<'a>(
    operator: Operator,
    one: &Value<'a>,
    other: &Value<'a>,
) -> Option<Result<Value<'a>, Problem>> {
    let (left, right) = (Number::of(one)?, Number::of(other)?);
    Some(match (left, right) {
        (Number::Whole(left), Number::Whole(right)) => {
            let is_unsigned = matches!((one, other), (Value::Unsigned(_), Value::Unsigned(_)));
            whole(operator, left, right).and_then(|result| {
                if is_unsigned {
                    u64::try_from(result).map(Value::Unsigned).map_err(|_| Problem::Overflow)
                } else {
                    i64::try_from(result).map(Value::Integer).map_err(|_| Problem::Overflow)
                }
            })
        }
        _ => double(operator, left.double(), right.double()),
    })
}

/// 64 bits cannot leave the range of 128 in one step.
fn whole(operator: Operator, left: i128, right: i128) -> Result<i128, Problem> {
    match operator {
        Operator::Add => Ok(left + right),
        Operator::Subtract => Ok(left - right),
        Operator::Multiply => left.checked_mul(right).ok_or(Problem::Overflow),
        Operator::Divide => left.checked_div(right).ok_or(Problem::Zero),
        Operator::Remainder => left.checked_rem(right).ok_or(Problem::Zero),
        _ => Err(Problem::Overflow),
    }
}

fn double<'a>(operator: Operator, left: f64, right: f64) -> Result<Value<'a>, Problem> {
    finite(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide if right == 0.0 => return Err(Problem::Zero),
        Operator::Divide => left / right,
        // The language has no remainder of doubles.
        _ => return Err(Problem::Operands { left: "a number", right: "a number" }),
    })
}

/// No infinity and no NaN leaves a calculation: neither can be written as JSON.
pub(super) fn finite<'a>(value: f64) -> Result<Value<'a>, Problem> {
    if value.is_finite() { Ok(Value::Double(value)) } else { Err(Problem::Overflow) }
}
