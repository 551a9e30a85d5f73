// Package web serves the local web page: its files, which the binary has, and at a loopback address also the API they look at, to who has the
// token and for looking alone; and it is the bounded server of any address at which others than those on the socket call. It refuses to know what the API answers.
package web

//go:generate go run ../../internal/genweb
