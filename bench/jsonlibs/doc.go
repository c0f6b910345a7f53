/*
Package jsonlibs measures codec.JSON beside the libraries that it could have been, on the email
service's types. It is a module of its own, so that nobody who builds Limpet gets them.

	cd bench/jsonlibs && go test -bench . -count 5
*/
package jsonlibs
