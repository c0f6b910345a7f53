/*
Package invariant is what the product knows of its simulator (internal/sim): the names of
states that runs must reach, and mistakes that can be planted to see that they are found.

Sometimes costs a look at a variable, where it stands: at commits, openings and faults,
never at records. The core, which imports nothing, is handed the observer (TaskConfig.Sometimes). Bug is false, and the compiler drops what depends on it, but for builds
with the tag limpetbugs.
*/
package invariant
