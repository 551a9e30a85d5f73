// Package signature tells whether somebody who may has signed a text, with the signatures that ssh-keygen(1) makes (-Y sign) and the list of
// allowed signers that it reads (ALLOWED SIGNERS). It knows keys and formats; it refuses to know manifests and files.
//
// The format is OpenSSH's PROTOCOL.sshsig. Keys are ed25519, ECDSA on the NIST curves, and RSA of at least 2048 bits with SHA-2. Security keys
// (sk-...) and certificates are refused by name.
package signature
