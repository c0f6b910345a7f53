/*
Package policies is a test: each cause for which a record fails or is dropped, with each policy, at
its source and at its operator. docs/semantics.md, Errors, has the rules.
*/
package policies
