module interop/peer

go 1.25
