-- Lmod: module use PREFIX/share/modulefiles; module load gerelion
help([[GeRelion: single-particle cryo-EM refinement with RELION's command lines and files.
Its relion_refine and the other programs under RELION's names stand before RELION's while the module is loaded.]])
whatis("Name: GeRelion")
whatis("Category: cryo-EM")

-- PREFIX/share/modulefiles/gerelion/VERSION.lua
local prefix = myFileName():match("^(.*)/share/modulefiles/[^/]+/[^/]+$")
prepend_path("PATH", pathJoin(prefix, "bin"))
prepend_path("MANPATH", pathJoin(prefix, "share/man"))
