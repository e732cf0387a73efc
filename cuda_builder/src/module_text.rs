//! The text of a module between the compiler and the assembler.

/// Words of `cuda_std::thread::limit_registers` in the text of a kernel, before the number.
const LIMIT: &str = "// registers at most ";

/// Returns a module as the compiler writes it, ready for the assembler.
pub fn finished(ptx: &str) -> String {
    with_limits(&contractible(ptx))
}

/// Allows the assembler to fuse products and sums of single precision, as it does for CUDA C++.
///
/// rustc marks every operation as rounded (`mul.rn.f32`), which forbids fusing; without the mark it is allowed.
/// Arithmetic that needs the rounding says so with `mul_add`.
fn contractible(ptx: &str) -> String {
    ["mul", "add", "sub"]
        .iter()
        .fold(ptx.to_string(), |text, operation| {
            text.replace(
                &format!("\t{operation}.rn.f32"),
                &format!("\t{operation}.f32"),
            )
        })
}

/// Writes the limits of registers that kernels state into their headers, as `__launch_bounds__` does for CUDA C++: rustc knows
/// no attribute for it.
fn with_limits(ptx: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // Where the body of the kernel at hand begins, until its limit is known.
    let mut body = None;
    for line in ptx.lines() {
        if line.contains(".entry ") {
            body = None;
        } else if line == "{" {
            body = Some(lines.len());
        }
        lines.push(line.to_string());
        if let Some((_, registers)) = line.split_once(LIMIT)
            && let Some(begin) = body.take()
        {
            lines.insert(begin, format!(".maxnreg {}", registers.trim()));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_may_be_fused_but_nothing_else_changes() {
        let ptx = "\tmul.rn.f32 \t%r1, %r2, %r3;\n\tfma.rn.f32 \t%r1, %r2, %r3, %r4;\n\tcvt.rn.f32.u32 \t%r1, %r2;\n";
        let fused = finished(ptx);
        assert!(fused.starts_with("\tmul.f32 \t%r1"));
        assert_eq!(
            &fused[fused.find("\tfma").unwrap()..],
            &ptx[ptx.find("\tfma").unwrap()..]
        );
    }

    /// A kernel that states its limit twice, since the statement was inlined twice, and one without.
    #[test]
    fn limits_of_registers_stand_before_the_body_of_their_kernel() {
        let kernel = |name: &str, limit: &str, statement: &str| {
            format!(
                ".visible .entry {name}(\n\t.param .u32 p\n)\n{limit}{{\n\tret;\n{statement}{statement}}}\n"
            )
        };
        let statement = "\t// begin inline asm\n\t// registers at most 80\n\t// end inline asm\n";
        let ptx = [kernel("a", "", statement), kernel("b", "", "")].concat();
        let expected = [kernel("a", ".maxnreg 80\n", statement), kernel("b", "", "")].concat();
        assert_eq!(finished(&ptx), expected);
    }
}
