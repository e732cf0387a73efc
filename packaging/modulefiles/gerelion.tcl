#%Module1.0
## Environment Modules: module use PREFIX/share/modulefiles; module load gerelion
proc ModulesHelp {} {
    puts stderr "GeRelion: single-particle cryo-EM refinement with RELION's command lines and files."
    puts stderr "Its relion_refine and the other programs under RELION's names stand before RELION's while the module is loaded."
}
module-whatis "GeRelion: single-particle cryo-EM refinement"

# PREFIX/share/modulefiles/gerelion/VERSION
set prefix [file dirname [file dirname [file dirname [file dirname [file normalize $ModulesCurrentModulefile]]]]]
prepend-path PATH $prefix/bin
prepend-path MANPATH $prefix/share/man
