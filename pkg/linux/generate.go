package linux

//go:generate go run ../../internal/genpromise
