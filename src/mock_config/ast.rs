//! The tree of a config. Every node knows where it was written.

use super::source::Span;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum StmtKind {
    /// An expression on its own, a method call as a rule.
    Expr(Expr),
    /// `a = b = value`.
    Assign {
        targets: Vec<Target>,
        value: Expr,
    },
    /// `target += value`.
    Augment {
        target: Target,
        op: BinaryOp,
        value: Expr,
    },
    Pass,
}

/// What can be assigned to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Name(String, Span),
    Item { base: Expr, index: Expr, span: Span },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub kind: ExprKind,
    pub span: Span,
    /// How many nodes the longest way down has; the evaluator recurses that deep.
    pub depth: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ExprKind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Name(String),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Set(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `a < b <= c`.
    Compare {
        first: Box<Expr>,
        rest: Vec<(CompareOp, Expr)>,
    },
    /// `then if test else other`.
    Choose {
        test: Box<Expr>,
        then: Box<Expr>,
        other: Box<Expr>,
    },
    Item {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    Attribute {
        base: Box<Expr>,
        name: String,
    },
    Call {
        callee: Box<Expr>,
        args: Vec<Expr>,
        named: Vec<(String, Expr)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
}

impl BinaryOp {
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::FloorDivide => "//",
            BinaryOp::Modulo => "%",
        }
    }

    pub fn from_symbol(symbol: &str) -> Option<Self> {
        use BinaryOp::*;
        [Add, Subtract, Multiply, Divide, FloorDivide, Modulo]
            .into_iter()
            .find(|op| op.symbol() == symbol)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
    Is,
    IsNot,
}
