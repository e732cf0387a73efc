//! Reading a kernel: the shape of its launch, its arguments and the lengths they state.

use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, Field, FnArg, Ident, ItemFn, Meta, Pat, Result, Token, Type};

/// The arguments of the attribute.
pub struct Shape {
    pub block: Expr,
    pub threads: Option<Expr>,
    pub grid: Expr,
    pub shared: Option<Expr>,
    pub registers: Option<Expr>,
    pub emulate: Option<Expr>,
}

impl Parse for Shape {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut block, mut threads, mut grid) = (None, None, None);
        let (mut shared, mut registers, mut emulate) = (None, None, None);
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            let value: Expr = input.parse()?;
            let place = match name.to_string().as_str() {
                "block" => &mut block,
                "threads" => &mut threads,
                "grid" => &mut grid,
                "shared" => &mut shared,
                "registers" => &mut registers,
                "emulate" => &mut emulate,
                _ => {
                    return Err(Error::new(
                        name.span(),
                        "block, threads, grid, shared, registers or emulate",
                    ));
                }
            };
            *place = Some(value);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let missing = |what| input.error(format!("a kernel states its {what}"));
        Ok(Self {
            block: block.ok_or_else(|| missing("block"))?,
            threads,
            grid: grid.ok_or_else(|| missing("grid"))?,
            shared,
            registers,
            emulate,
        })
    }
}

/// Statements of a kernel about one argument.
pub enum Kind {
    /// Shapes the launch only.
    Launch,
    /// A number that the device gets too.
    Scalar,
    /// An array of at least so many elements.
    Array(Expr),
    /// The same, or null.
    Optional(Expr),
    /// An array whose length only the device knows.
    Unchecked,
    /// Arguments that belong together, in this order.
    Group(Vec<Argument>),
}

pub struct Argument {
    pub name: Ident,
    /// Of a pointer, what it points to; of a number, itself.
    pub element: Type,
    /// As written.
    pub ty: Type,
    pub kind: Kind,
}

impl Argument {
    /// Reads an argument or a field.
    pub fn new(name: &Ident, ty: &Type, attributes: &[Attribute]) -> Result<Self> {
        let ty = ungrouped(ty);
        let mut statements = attributes.iter().filter(|a| !a.path().is_ident("doc"));
        let stated = statements.next().map(stated).transpose()?;
        if let Some(more) = statements.next() {
            return Err(Error::new(more.span(), "one statement per argument"));
        }
        let (element, kind) = match (ty, stated) {
            (
                Type::Ptr(pointer),
                Some(kind @ (Kind::Array(_) | Kind::Optional(_) | Kind::Unchecked)),
            ) => (ungrouped(&pointer.elem).clone(), kind),
            (Type::Ptr(_), _) => {
                return Err(Error::new(
                    ty.span(),
                    "state the length of the array: #[len(…)], #[optional(…)] or #[unchecked]",
                ));
            }
            (_, None) => (ty.clone(), Kind::Scalar),
            (_, Some(kind @ (Kind::Launch | Kind::Group(_)))) => (ty.clone(), kind),
            (_, Some(_)) => return Err(Error::new(ty.span(), "only a pointer has a length")),
        };
        Ok(Self {
            name: name.clone(),
            element,
            ty: ty.clone(),
            kind,
        })
    }

    /// Whether the device gets it.
    pub fn is_passed(&self) -> bool {
        !matches!(self.kind, Kind::Launch)
    }
}

/// The fields of a group, as `#[group]` repeats them: without documentation, separated by commas.
pub struct Fields(pub Vec<Argument>);

impl Parse for Fields {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let fields = input.parse_terminated(Field::parse_named, Token![,])?;
        let fields = fields.iter().map(|field| {
            let name = field.ident.as_ref().expect("parsed as a named field");
            Argument::new(name, &field.ty, &field.attrs)
        });
        Ok(Self(fields.collect::<Result<_>>()?))
    }
}

/// A kernel as written.
pub struct Signature {
    pub shape: Shape,
    pub function: ItemFn,
    pub arguments: Vec<Argument>,
}

impl Signature {
    pub fn read(shape: Shape, function: ItemFn) -> Result<Self> {
        if function.sig.unsafety.is_none() {
            return Err(Error::new(
                function.sig.span(),
                "a kernel dereferences raw pointers: declare it `unsafe fn`",
            ));
        }
        let arguments = function.sig.inputs.iter().map(argument);
        Ok(Self {
            arguments: arguments.collect::<Result<_>>()?,
            shape,
            function,
        })
    }
}

fn argument(input: &FnArg) -> Result<Argument> {
    let FnArg::Typed(typed) = input else {
        return Err(Error::new(input.span(), "a kernel is a free function"));
    };
    let Pat::Ident(pattern) = &*typed.pat else {
        return Err(Error::new(typed.pat.span(), "an argument has a name"));
    };
    Argument::new(&pattern.ident, &typed.ty, &typed.attrs)
}

fn stated(attribute: &Attribute) -> Result<Kind> {
    let path = attribute.path();
    match &attribute.meta {
        Meta::Path(_) if path.is_ident("launch") => Ok(Kind::Launch),
        Meta::Path(_) if path.is_ident("unchecked") => Ok(Kind::Unchecked),
        Meta::List(list) if path.is_ident("len") => Ok(Kind::Array(list.parse_args()?)),
        Meta::List(list) if path.is_ident("optional") => Ok(Kind::Optional(list.parse_args()?)),
        Meta::List(list) if path.is_ident("group") => {
            Ok(Kind::Group(list.parse_args::<Fields>()?.0))
        }
        _ => Err(Error::new(
            attribute.span(),
            "#[launch], #[len(…)], #[optional(…)], #[unchecked] or #[group]",
        )),
    }
}

/// A type without the invisible brackets that a declarative macro puts around it.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        _ => ty,
    }
}
