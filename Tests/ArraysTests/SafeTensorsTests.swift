import ScorefieldArrays
import Testing

@Suite struct SafeTensorsTests {
  static let files = ["numpy", "names", "none", "other"]

  @Test("tensors come as the reference implementation wrote them", arguments: ["numpy", "other"])
  func goldens(_ name: String) throws {
    let file = try SafeTensorsFile(golden("\(name).safetensors"))
    for name in file.names {
      let array = try file.array(named: name)
      #expect(array.elementType.rawValue == name)
      #expect(array.shape == (array.elementType == .float4E2M1 ? [3, 20] : [3, 4, 5]))
      #expect(try bits(array) == contents(of: golden("\(name).bin")), "\(name)")
    }
    #expect(file.names.count == (name == "numpy" ? 13 : 5) && file.metadata.isEmpty)
  }

  @Test("any name, any note and any shape come as they were")
  func names() throws {
    let file = try SafeTensorsFile(golden("names.safetensors"))
    #expect(file.names == ["a", "b", "scalar", "quote \" tab \t é \u{1} \\ 日本", "empty"])
    #expect(file.metadata == ["format": "line\nbreak \"quoted\" /"])
    #expect(try file.shape(of: "a") == [3, 1, 5])
    #expect(try file.shape(of: "empty") == [0, 4])
    #expect(try file.elementType(of: "empty") == .uint8)
    let scalar = try file.array(named: "scalar")
    #expect(scalar.shape == [] && scalar.withUnsafeBytes { $0.load(as: Float.self) } == 2.5)
  }

  @Test("tensors are written byte for byte as the reference implementation writes them", arguments: files)
  func written(_ name: String) throws {
    let path = golden("\(name).safetensors")
    let file = try SafeTensorsFile(path)
    let tensors = try file.names.sorted().map { ($0, try file.array(named: $0)) }
    #expect(try joined(SafeTensors.encode(tensors, metadata: file.metadata, name: "x")) == contents(of: path))
  }

  @Test("a written array of any type is read again", arguments: ElementType.allCases.filter { $0 != .complex128 })
  func roundTrip(_ type: ElementType) throws {
    try inTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let array = HostArray(type, shape: [2, 8], bytes: Bytes(Array(0..<UInt8(2 * type.bitWidth))))
      let byte = HostArray(.bool, shape: [1], bytes: Bytes([1]))
      try SafeTensors.write(
        [("byte", byte), ("é/\u{1F600}\u{7F}", array)], metadata: ["b": "", "a": "\u{1F}\u{8}\u{C}\r"], to: path)
      let file = try SafeTensorsFile(path)
      #expect(file.metadata == ["b": "", "a": "\u{1F}\u{8}\u{C}\r"])
      let again = try file.array(named: "é/\u{1F600}\u{7F}")
      #expect(again.elementType == type && again.shape == [2, 8] && bits(again) == bits(array))
      #expect(try bits(file.array(named: "byte")) == [1])
      let left = try ScorefieldArraysTests.names(in: folder)
      #expect(left == ["a.safetensors"])
    }
  }

  @Test("a tensor at an odd place is copied, and others share the file's memory")
  func alignment() throws {
    let file = safetensors(
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}"#,
      [7, 1, 2, 3, 4])
    let tensors = try SafeTensorsFile(parsing: Bytes(file), name: "x")
    let b = try tensors.array(named: "b")
    #expect(bits(b) == [1, 2, 3, 4])
    b.withUnsafeBytes { #expect(Int(bitPattern: $0.baseAddress) % 4 == 0) }

    let other = try SafeTensorsFile(golden("other.safetensors"))
    let (first, again) = (try other.array(named: "bfloat16"), try other.array(named: "bfloat16"))
    #expect(first.withUnsafeBytes { $0.baseAddress } == again.withUnsafeBytes { $0.baseAddress })
  }

  @Test("escapes of JSON are understood, and white space too")
  func escapes() throws {
    let file = safetensors(
      #"{ "__metadata__" : null , "\u0041\uD83D\ude00\/\b\f\n\r\t\"\\" : {"shape":[ ],"#
        + #""data_offsets":[0 , 1],"dtype":"BOOL"} }"# + " \n", [1])
    #expect(try SafeTensorsFile(parsing: Bytes(file), name: "x").names == ["A\u{1F600}/\u{8}\u{C}\n\r\t\"\\"])
  }

  @Test(
    "a missing tensor suggests the nearest name",
    arguments: [
      ("conv_in.weight", "no tensor named 'conv_in.weight'; did you mean 'model.conv_in.weight'?"),
      ("out.bais", "no tensor named 'out.bais'; did you mean 'out.bias'?"),
      ("xyz", "no tensor named 'xyz'; it has 'model.conv_in.weight', 'out.bias', 't1' and 1 more"),
      (
        String(repeating: "x", count: 300),
        "no tensor named '\(String(repeating: "x", count: 60))…'; it has "
          + "'model.conv_in.weight', 'out.bias', 't1' and 1 more"
      ),
    ])
  func missing(_ name: String, _ sentence: String) throws {
    let array = HostArray([1], shape: [1])
    let parts = try SafeTensors.encode(
      [("model.conv_in.weight", array), ("out.bias", array), ("t1", array), ("t2", array)], name: "x")
    let file = try SafeTensorsFile(parsing: Bytes(joined(parts)), name: "unet.safetensors")
    let error = #expect(throws: ArrayFileError.self) { try file.array(named: name) }
    #expect(error?.description == "unet.safetensors: \(sentence)")
  }

  @Test("a name is near when fewer than half of its characters differ")
  func near() {
    #expect(nearestName(to: "abcdefgh", in: ["abc", "abcdeXYZ", "abcXYZVW"]) == "abcdeXYZ")
    #expect(nearestName(to: "abcdefgh", in: ["abcdXYZV"]) == nil)
  }

  @Test("the data begin at a multiple of eight bytes, after as few spaces as that takes", arguments: 1...8)
  func padding(_ length: Int) throws {
    let name = String(repeating: "a", count: length)
    let file = try joined(SafeTensors.encode([(name, HostArray([1], shape: [1]))], name: "x"))
    let spaces = file.dropLast(8).reversed().prefix { $0 == UInt8(ascii: " ") }.count
    #expect(file.count % 8 == 0 && spaces < 8)
  }

  @Test("a file without tensors says so")
  func none() throws {
    let file = try SafeTensorsFile(golden("none.safetensors"))
    let error = #expect(throws: ArrayFileError.self) { try file.shape(of: "a") }
    #expect(error?.description == "\(file.path): no tensor named 'a'; the file has none")
  }

  @Test("what a file of tensors must not be is said in one sentence", arguments: refused)
  func refusals(_ input: BadInput) {
    let error = #expect(throws: ArrayFileError.self) { try SafeTensorsFile(parsing: Bytes(input.bytes), name: "x") }
    #expect(error?.description == "x: \(input.sentence)")
    #expect(error?.category == .badData)
  }

  static let refused: [BadInput] = [
    BadInput([1, 2, 3], "is too short for a .safetensors file; get the whole file again"),
    BadInput(
      length(1 << 62),
      "claims a header of 4611686018427387904 bytes, more than the format's 100000000; "
        + "check that it is a .safetensors file"),
    BadInput(
      length(.max),
      "claims a header of 18446744073709551615 bytes, more than the format's 100000000; "
        + "check that it is a .safetensors file"),
    BadInput(
      length(100_000_001),
      "claims a header of 100000001 bytes, more than the format's 100000000; "
        + "check that it is a .safetensors file"),
    BadInput(length(100_000_000), "ends inside its header of 100000000 bytes; get the whole file again"),
    BadInput(length(0), "has junk in its header at byte 0, where '{' should be; \(again)"),
    header(" {}", "has junk in its header at byte 0, where '{' should be; \(again)"),
    header("{}{}", "has junk in its header at byte 2, where its end should be; \(again)"),
    header("{}\0", "has junk in its header at byte 2, where its end should be; \(again)"),
    header("{\"a\":", "has junk in its header at byte 5, where '{' should be; \(again)"),
    header("{\"a", "has junk in its header at byte 3, where the end of a string should be; \(again)"),
    header("{\"a\n\"", "has junk in its header at byte 4, where a printable character should be; \(again)"),
    header(#"{"\x""#, "has junk in its header at byte 4, where an escape sequence of JSON should be; \(again)"),
    header(#"{"\uD800""#, "has junk in its header at byte 8, where an escape sequence of JSON should be; \(again)"),
    header(
      #"{"\uDC00\uDC00""#, "has junk in its header at byte 8, where an escape sequence of JSON should be; \(again)"),
    header(#"{"\u+123""#, "has junk in its header at byte 4, where four hexadecimal digits should be; \(again)"),
    BadInput(safetensors([0x7B, 0x22, 0xC3, 0x22], []), "has a string in its header that is not UTF-8; \(again)"),
    header(
      "{\"a\":" + String(repeating: "[", count: 1_000_000),
      "has junk in its header at byte 5, where '{' should be; \(again)"),
    header("{\"a\":" + String(repeating: "{\"a\":", count: 1_000_000), "tensor 'a' has the unknown key 'a'; \(again)"),
    header("{\"__metadata__\":{\"a\":1}}", "has junk in its header at byte 21, where a string should be; \(again)"),
    header("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", "has 'a' twice in its metadata; \(again)"),
    header("{\"__metadata__\":{},\"__metadata__\":{}}", "has '__metadata__' twice; \(again)"),
    header("{\(tensor("a")),\(tensor("a"))}", "has two tensors named 'a'; \(again)"),
    header("{\"a\":{}}", "tensor 'a' has no 'dtype'; \(again)"),
    header("{\"a\":{\"dtype\":\"U8\"}}", "tensor 'a' has no 'shape'; \(again)"),
    header("{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", "tensor 'a' has no two 'data_offsets'; \(again)"),
    header("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}", "tensor 'a' has 'dtype' twice; \(again)"),
    header("{\"a\":{\"x\":1}}", "tensor 'a' has the unknown key 'x'; \(again)"),
    header("{\(tensor("a", "[0]"))}", "tensor 'a' has no two 'data_offsets'; \(again)"),
    header("{\(tensor("a", "[0,1,2]"))}", "tensor 'a' has a list of more than 2 numbers; \(again)"),
    header("{\(tensor("a", "[0,1.0]"))}", "has junk in its header at byte 49, where ']' should be; \(again)"),
    header("{\(tensor("a", "[-1,0]"))}", "has a negative number in its header; \(again)"),
    header("{\(tensor("a", "[1,0]"))}", "tensor 'a' ends before it begins; \(again)"),
    header(
      "{\(tensor("a", "[0,9223372036854775808]"))}",
      "has a number in its header that is too large (19 digits); \(again)"),
    header(
      "{\(tensor("a", "[9223372036854775806,9223372036854775807]"))}", "tensor 'a' ends beyond any file; \(again)"),
    header("{\(tensor("a", "[0,2]"))}", "tensor 'a' claims to be uint8 [], which is 1 bytes, but has 2; \(again)"),
    header("{\(tensor("a", "[0,1]", type: "I4"))}", "tensor 'a' has the unknown element type 'I4'; \(again)"),
    header(
      "{\(tensor("a", "[0,1]", type: "F4", shape: "[3]"))}",
      "tensor 'a' claims to be float4_e2m1fn_x2 [3], which is no whole number of bytes; \(again)"),
    header(
      "{\(tensor("a", "[0,1]", shape: "[4294967296,4294967296]"))}",
      "tensor 'a' claims to be uint8 [4294967296, 4294967296], more than any file can hold; \(again)"),
    header(
      "{\(tensor("a", "[0,0]", shape: "[0,9223372036854775807,9]"))}",
      "tensor 'a' claims to be uint8 [0, 9223372036854775807, 9], more than any file can hold; \(again)"),
    header(
      "{\(tensor("a", "[0,1]", shape: "[\(String(repeating: "1,", count: 64))1]"))}",
      "tensor 'a' has a list of more than 64 numbers; \(again)"),
    header(
      "{\(tensor("a", "[1,2]"))}",
      "tensor 'a' begins at byte 1 of the data, but the one before it ends at 0; \(again)"),
    header(
      "{\(tensor("b")),\(tensor("a", "[0,2]", shape: "[2]"))}",
      "tensor 'a' begins at byte 0 of the data, but the one before it ends at 1; \(again)"),
    header("{\(tensor("a"))}", "its tensors take 1 bytes but 0 follow its header; get the whole file again"),
    BadInput(safetensors("{}", [1]), "its tensors take 0 bytes but 1 follow its header; \(again)"),
    header(
      "{\(tensor("a", "[0,576460752303423488]", shape: "[576460752303423488]"))}",
      "its tensors take 576460752303423488 bytes but 0 follow its header: it ends inside row 0 of 'a'; "
        + "get the whole file again"),
    // What is empty has no rows to end in.
    header(
      "{\(tensor("a", "[0,0]", shape: "[3,0]")),\(tensor("b"))}",
      "its tensors take 1 bytes but 0 follow its header; get the whole file again"),
  ]

  private static let again = "save it again with safetensors"
  private static func header(_ text: String, _ sentence: String) -> BadInput {
    BadInput(safetensors(text, []), sentence)
  }
  private static func length(_ length: UInt64) -> [UInt8] { withUnsafeBytes(of: length.littleEndian, Array.init) }
  private static func tensor(
    _ name: String, _ offsets: String = "[0,1]", type: String = "U8", shape: String = "[]"
  ) -> String { "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}" }

  @Test("a type that the format lacks is not written")
  func unwritable() {
    let array = HostArray(.complex128, shape: [1], bytes: Bytes(Array(1...16)))
    let error = #expect(throws: ArrayFileError.self) { try SafeTensors.encode([("a", array)], name: "x") }
    #expect(error?.description == "x: 'a' is complex128 [1], which .safetensors cannot hold; convert it first")
    #expect(error?.category == .cannotWrite)
  }

  @Test("two arrays of one name stop the process")
  func duplicates() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let array = HostArray([1], shape: [1])
      _ = try SafeTensors.encode([("a", array), ("a", array)], name: "x")
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("SafeTensors.encode: two arrays are named 'a'"))
  }
}

/// A file with the given header and data.
func safetensors(_ header: String, _ data: [UInt8]) -> [UInt8] { safetensors(Array(header.utf8), data) }

func safetensors(_ header: [UInt8], _ data: [UInt8]) -> [UInt8] {
  withUnsafeBytes(of: UInt64(header.count).littleEndian, Array.init) + header + data
}
