package nft

// For tests in package nft_test, which need a network namespace to be made.
var (
	Elements        = elements
	ElementRequests = elementRequests
	ParseElements   = parseElements
	ReadComment     = readComment
	Without         = without
)
