package expr

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

const randomAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

// seededString derives characters from a seed, the same ones as kro: each from
// four bytes of the seed's SHA-256. The hash has eight times four bytes, hence
// the characters repeat after eight; names on live clusters depend on that.
func seededString(args ...ref.Val) ref.Val {
	const name = "random.seededString"
	length, ok1 := args[0].(types.Int)
	seed, ok2 := args[1].(types.String)
	switch {
	case !ok1 || !ok2:
		return types.MaybeNoSuchOverloadErr(args[0])
	case length <= 0:
		return invalid(name, "the length must be positive, not %d", length)
	case length > maxRandomLength:
		return invalid(name, "a length of %d is more than the limit of %d", length, maxRandomLength)
	}
	sum := sha256.Sum256([]byte(seed))
	out := make([]byte, length)
	for i := range out {
		word := binary.BigEndian.Uint32(sum[i*4%len(sum):])
		out[i] = randomAlphabet[word%uint32(len(randomAlphabet))]
	}
	return types.String(out)
}

// seededInt derives a number in [min, max) from a seed, the same one as kro.
func seededInt(args ...ref.Val) ref.Val {
	least, ok1 := args[0].(types.Int)
	limit, ok2 := args[1].(types.Int)
	seed, ok3 := args[2].(types.String)
	switch {
	case !ok1 || !ok2 || !ok3:
		return types.MaybeNoSuchOverloadErr(args[0])
	case least >= limit:
		return invalid("random.seededInt", "min must be less than max, but %d is not less than %d", least, limit)
	}
	sum := sha256.Sum256([]byte(seed))
	// Unsigned, the span of any two integers fits; adding wraps back into range.
	span := uint64(limit) - uint64(least)
	return types.Int(uint64(least) + binary.BigEndian.Uint64(sum[:])%span)
}

// hashed makes a function of CEL out of a hash of text.
func hashed(sum func(string) []byte) func(...ref.Val) ref.Val {
	return func(args ...ref.Val) ref.Val {
		text, ok := args[0].(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(args[0])
		}
		return types.Bytes(sum(string(text)))
	}
}

func fnv64a(text string) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum(nil)
}

func sha256Sum(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func md5Sum(text string) []byte {
	sum := md5.Sum([]byte(text))
	return sum[:]
}

// marshalJSON writes a value as Go does: keys sorted, bytes as base64, and <, >
// and & escaped.
func marshalJSON(args ...ref.Val) ref.Val {
	const name = "json.marshal"
	value, err := JSON(args[0], true, &Budget{Bytes: maxJSONBytes})
	if err != nil {
		return types.WrapErr(err)
	}
	if value == Omitted {
		return invalid(name, "omit() has no value")
	}
	text, err := json.Marshal(value)
	switch {
	case err != nil:
		return types.WrapErr(err)
	case len(text) > maxJSONBytes:
		return invalid(name, "the text has %d bytes, more than the limit of %d", len(text), maxJSONBytes)
	}
	return types.String(text)
}

// unmarshalJSON reads a text as Go does: every number is a double.
func unmarshalJSON(args ...ref.Val) ref.Val {
	const name = "json.unmarshal"
	text, ok := args[0].(types.String)
	switch {
	case !ok:
		return types.MaybeNoSuchOverloadErr(args[0])
	case len(text) > maxJSONBytes:
		return invalid(name, "the text has %d bytes, more than the limit of %d", len(text), maxJSONBytes)
	}
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return invalid(name, "%v", err)
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}
