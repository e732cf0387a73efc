# In a repository of Spack packages: packages/gerelion/package.py
from spack.package import *


class Gerelion(Package):
    """Cryo-EM classification and refinement with RELION's command lines and files."""

    homepage = "https://github.com/gerelion/gerelion"
    git = "https://github.com/gerelion/gerelion.git"

    license("MIT OR Apache-2.0")

    version("main", branch="main")

    variant("mpi", default=True, description="Jobs of several processes")

    depends_on("c", type="build")
    depends_on("rust@1.95:", type="build")
    depends_on("gmake", type="build")
    depends_on("mpi", when="+mpi")
    # Bindings to MPI are made with libclang.
    depends_on("llvm+clang", type="build", when="+mpi")

    def install(self, spec, prefix):
        features = ["--features", "mpi"] if spec.satisfies("+mpi") else []
        if spec.satisfies("+mpi"):
            env["LIBCLANG_PATH"] = spec["llvm"].prefix.lib
        cargo = which("cargo", required=True)
        cargo("build", "--release", "--locked", "--bins", *features)
        which("sh", required=True)("scripts/install.sh", "target/release", prefix)
