//! See the target of this name.
#![cfg_attr(fuzzing, no_main)]

spinlane_fuzz::program!(segments);
