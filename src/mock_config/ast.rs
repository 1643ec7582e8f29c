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
    /// `if`, `elif`, …: the first branch whose test is true, or else the last part.
    If {
        branches: Vec<(Expr, Vec<Stmt>)>,
        otherwise: Vec<Stmt>,
    },
    /// `for target in items`; the last part runs unless the loop is broken off.
    For {
        target: Target,
        items: Expr,
        body: Vec<Stmt>,
        otherwise: Vec<Stmt>,
    },
    Break,
    Continue,
    /// `del a, b['c']`.
    Delete(Vec<Target>),
    /// `assert test, message`.
    Assert {
        test: Expr,
        message: Option<Expr>,
    },
    /// `raise ValueError('message')`.
    Raise(Option<Expr>),
    /// What an import makes known: a name, and the module or function that it stands for.
    Import(Vec<(String, &'static str)>),
}

/// What can be assigned to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Name(String, Span),
    Item {
        base: Expr,
        index: Expr,
        span: Span,
    },
    /// Several at once; the one at `star` takes what the others leave.
    Unpack {
        targets: Vec<Target>,
        star: Option<usize>,
        span: Span,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub kind: ExprKind,
    pub span: Span,
    /// How many nodes the longest way down has; the evaluator recurses that deep.
    pub depth: u16,
}

impl Expr {
    /// Whether this is `*items`, which only stands in a sequence.
    pub fn is_star(&self) -> bool {
        matches!(self.kind, ExprKind::Star(_))
    }
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
    /// A value without a key is a dictionary that is unpacked: `{**a}`.
    Dict(Vec<(Option<Expr>, Expr)>),
    /// `*items` in a sequence.
    Star(Box<Expr>),
    /// An f-string.
    Format(Vec<Piece>),
    Comprehension(Box<Comprehension>),
    Not(Box<Expr>),
    Invert(Box<Expr>),
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
    /// `base[start:stop:step]`.
    Slice {
        base: Box<Expr>,
        bounds: Box<[Option<Expr>; 3]>,
    },
    Attribute {
        base: Box<Expr>,
        name: String,
    },
    Call {
        callee: Box<Expr>,
        args: Vec<Expr>,
        /// A name `**` is a dictionary whose keys are names.
        named: Vec<(String, Expr)>,
    },
}

/// A part of an f-string.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Field {
        value: Expr,
        /// What `{x!r:>8}` says behind the value.
        conversion: Option<char>,
        spec: Vec<Piece>,
    },
}

/// `[element for target in items if test]`, and the same in other brackets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comprehension {
    pub kind: ComprehensionKind,
    pub element: Expr,
    /// The value, in a dictionary.
    pub value: Option<Expr>,
    pub clauses: Vec<Clause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComprehensionKind {
    List,
    Set,
    Dict,
    Generator,
}

/// `for target in items if test if test`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause {
    pub target: Target,
    pub items: Expr,
    pub tests: Vec<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
    ShiftLeft,
    ShiftRight,
    BitAnd,
    BitOr,
    BitXor,
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
            BinaryOp::Power => "**",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
        }
    }

    pub fn from_symbol(symbol: &str) -> Option<Self> {
        use BinaryOp::*;
        const ALL: [BinaryOp; 12] = [
            Add,
            Subtract,
            Multiply,
            Divide,
            FloorDivide,
            Modulo,
            Power,
            ShiftLeft,
            ShiftRight,
            BitAnd,
            BitOr,
            BitXor,
        ];
        ALL.into_iter().find(|op| op.symbol() == symbol)
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
