//! Reading a kernel: the shape of its launch, its arguments and the lengths they state.

use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, Ident, ItemFn, Meta, Pat, Result, Token, Type};

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
}

pub struct Argument {
    pub name: Ident,
    /// Of a pointer, what it points to; of a number, itself.
    pub element: Type,
    /// As written.
    pub ty: Type,
    pub kind: Kind,
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
    let ty = ungrouped(&typed.ty);
    let stated = match typed.attrs.as_slice() {
        [] => None,
        [one] => Some(stated(one)?),
        [_, more, ..] => return Err(Error::new(more.span(), "one statement per argument")),
    };
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
        (_, Some(Kind::Launch)) => (ty.clone(), Kind::Launch),
        (_, Some(_)) => return Err(Error::new(ty.span(), "only a pointer has a length")),
    };
    Ok(Argument {
        name: pattern.ident.clone(),
        element,
        ty: ty.clone(),
        kind,
    })
}

fn stated(attribute: &Attribute) -> Result<Kind> {
    let path = attribute.path();
    match &attribute.meta {
        Meta::Path(_) if path.is_ident("launch") => Ok(Kind::Launch),
        Meta::Path(_) if path.is_ident("unchecked") => Ok(Kind::Unchecked),
        Meta::List(list) if path.is_ident("len") => Ok(Kind::Array(list.parse_args()?)),
        Meta::List(list) if path.is_ident("optional") => Ok(Kind::Optional(list.parse_args()?)),
        _ => Err(Error::new(
            attribute.span(),
            "#[launch], #[len(…)], #[optional(…)] or #[unchecked]",
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
