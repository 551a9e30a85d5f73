package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Expression is one step of a rule: a name of the kernel's with attributes.
type Expression struct {
	Name       string
	Attributes []Attribute
}

// Attribute is a value, or attributes in its place.
type Attribute struct {
	Kind   uint16
	Value  []byte
	Nested []Attribute
}

// Registers hold four bytes each; longer values take those after it. See NFT_REG32_00 of linux/netfilter/nf_tables.h.
const Register = unix.NFT_REG32_00

// Verdict is what becomes of a packet.
type Verdict int32

// The verdicts.
const (
	Drop   Verdict = 0 // NF_DROP
	Accept Verdict = 1 // NF_ACCEPT
	Return Verdict = unix.NFT_RETURN
)

func number(kind uint16, n uint32) Attribute {
	return Attribute{Kind: kind, Value: binary.BigEndian.AppendUint32(nil, n)}
}

func text(kind uint16, s string) Attribute { return Attribute{Kind: kind, Value: append([]byte(s), 0)} }

func data(kind uint16, value []byte) Attribute {
	return Attribute{Kind: kind, Nested: []Attribute{{Kind: unix.NFTA_DATA_VALUE, Value: value}}}
}

// Meta loads a fact about a packet: unix.NFT_META_OIFGROUP say.
func Meta(key, register uint32) Expression {
	return Expression{"meta", []Attribute{number(unix.NFTA_META_DREG, register), number(unix.NFTA_META_KEY, key)}}
}

// Connection loads a fact about a packet's connection: unix.NFT_CT_STATUS say.
func Connection(key, register uint32) Expression {
	return Expression{"ct", []Attribute{number(unix.NFTA_CT_DREG, register), number(unix.NFTA_CT_KEY, key)}}
}

// Payload loads bytes of a packet, from an offset in one of its headers: unix.NFT_PAYLOAD_NETWORK_HEADER say.
func Payload(header, offset, length, register uint32) Expression {
	return Expression{"payload", []Attribute{
		number(unix.NFTA_PAYLOAD_DREG, register), number(unix.NFTA_PAYLOAD_BASE, header),
		number(unix.NFTA_PAYLOAD_OFFSET, offset), number(unix.NFTA_PAYLOAD_LEN, length),
	}}
}

// DestinationKind loads what kind of address a packet goes to: unix.RTN_LOCAL say, in the machine's byte order.
func DestinationKind(register uint32) Expression {
	return Expression{"fib", []Attribute{
		number(unix.NFTA_FIB_DREG, register), number(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE), number(unix.NFTA_FIB_FLAGS, unix.NFTA_FIB_F_DADDR),
	}}
}

// Equal goes on when a register has a value.
func Equal(register uint32, value []byte) Expression {
	return compare(unix.NFT_CMP_EQ, register, value)
}

// Unequal goes on when a register has another value.
func Unequal(register uint32, value []byte) Expression {
	return compare(unix.NFT_CMP_NEQ, register, value)
}

func compare(operator, register uint32, value []byte) Expression {
	return Expression{"cmp", []Attribute{
		number(unix.NFTA_CMP_SREG, register), number(unix.NFTA_CMP_OP, operator), data(unix.NFTA_CMP_DATA, value),
	}}
}

// Mask keeps the bits of a register that a mask of its length has.
func Mask(register uint32, mask []byte) Expression {
	return Expression{"bitwise", []Attribute{
		number(unix.NFTA_BITWISE_SREG, register), number(unix.NFTA_BITWISE_DREG, register), number(unix.NFTA_BITWISE_LEN, uint32(len(mask))),
		data(unix.NFTA_BITWISE_MASK, mask), data(unix.NFTA_BITWISE_XOR, make([]byte, len(mask))),
	}}
}

// Lookup finds the key that begins at a register in a map, and puts the value there; it ends the rule when the map has no such key.
func Lookup(name string, register uint32) Expression {
	return Expression{"lookup", []Attribute{
		text(unix.NFTA_LOOKUP_SET, name), number(unix.NFTA_LOOKUP_SREG, register), number(unix.NFTA_LOOKUP_DREG, register),
	}}
}

// Redirect sends a connection to the address and port in registers; family is unix.NFPROTO_IPV4 or unix.NFPROTO_IPV6.
func Redirect(family, address, port uint32) Expression {
	return Expression{"nat", []Attribute{
		number(unix.NFTA_NAT_TYPE, unix.NFT_NAT_DNAT), number(unix.NFTA_NAT_FAMILY, family),
		number(unix.NFTA_NAT_REG_ADDR_MIN, address), number(unix.NFTA_NAT_REG_PROTO_MIN, port),
	}}
}

// Masquerade gives a connection the address of the link it leaves by as its source.
func Masquerade() Expression { return Expression{Name: "masq"} }

// Decide ends all rules of a chain.
func Decide(v Verdict) Expression {
	return Expression{"immediate", []Attribute{
		number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
		{Kind: unix.NFTA_IMMEDIATE_DATA, Nested: []Attribute{{Kind: unix.NFTA_DATA_VERDICT, Nested: []Attribute{number(unix.NFTA_VERDICT_CODE, uint32(v))}}}},
	}}
}

// Native is a number in the machine's byte order, as most facts are kept.
func Native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
