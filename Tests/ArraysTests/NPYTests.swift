import ScorefieldArrays
import Testing

@Suite struct NPYTests {
  static let types = ElementType.allCases.filter { ![.bfloat16, .float8E4M3, .float8E5M2, .float8E8M0].contains($0) }
    .filter { $0.bitWidth >= 8 }

  @Test("NumPy's arrays come as they were, in every type, byte order and element order", arguments: types)
  func goldens(_ type: ElementType) throws {
    let expected = try contents(of: golden("\(type.rawValue).bin"))
    for layout in ["rows", "columns", "big-rows", "big-columns"] {
      let array = try NPY.read(golden("\(type.rawValue)-\(layout).npy"))
      #expect(array.elementType == type && array.shape == [3, 4, 5])
      #expect(bits(array) == expected, "\(layout)")
    }
  }

  @Test("an array is written byte for byte as NumPy writes it", arguments: types)
  func written(_ type: ElementType) throws {
    let path = golden("\(type.rawValue)-rows.npy")
    #expect(try joined(NPY.encode(NPY.read(path), name: "x.npy")) == contents(of: path))
  }

  @Test(
    "an array of any shape is read and written as NumPy does",
    arguments: [[], [1], [60], [6, 10], [1, 1, 60, 1], [0], [3, 0, 5], Array(repeating: 1, count: 36)])
  func shapes(_ shape: [Int]) throws {
    let path = golden("shape-\(shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "x")).npy")
    let array = try NPY.read(path)
    #expect(array.shape == shape && array.elementType == .int32)
    let values = array.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
    #expect(values == Array(0..<Int32(shape.reduce(1, *))))
    #expect(try joined(NPY.encode(array, name: "x.npy")) == contents(of: path))
  }

  @Test("versions 2.0 and 3.0 hold what version 1.0 holds", arguments: [2, 3])
  func versions(_ version: Int) throws {
    #expect(try bits(NPY.read(golden("version-\(version).npy"))) == contents(of: golden("float32.bin")))
  }

  @Test("a written array is read again", arguments: types)
  func roundTrip(_ type: ElementType) throws {
    try inTemporaryFolder { folder in
      let array = try NPY.read(golden("\(type.rawValue)-rows.npy"))
      try NPY.write(array, to: "\(folder)/a.npy")
      let again = try NPY.read("\(folder)/a.npy")
      #expect(again.elementType == type && again.shape == array.shape && bits(again) == bits(array))
      #expect(try names(in: folder) == ["a.npy"])
    }
  }

  @Test(
    "columns become rows for any number of axes", arguments: [[300, 50], [7, 1, 40, 33], [5000, 3], [2, 3000, 2]])
  func columns(_ shape: [Int]) throws {
    let count = shape.reduce(1, *)
    var data = [UInt16](repeating: 0, count: count)
    var expected = data
    for rowMajor in 0..<count {
      // The place of the same element when the first axis is the fastest.
      var (rest, columnMajor) = (rowMajor, 0)
      for length in shape.reversed() {
        columnMajor = columnMajor * length + rest % length
        rest /= length
      }
      expected[rowMajor] = UInt16(truncatingIfNeeded: rowMajor &* 40503)
      data[columnMajor] = expected[rowMajor]
    }
    let tuple = shape.map(String.init).joined(separator: ", ")
    let file = npy("{'descr': '<u2', 'fortran_order': True, 'shape': (\(tuple))}", data.withUnsafeBytes(Array.init))
    let array = try NPY.parse(Bytes(file), name: "x.npy")
    #expect(array.shape == shape)
    #expect(bits(array) == expected.withUnsafeBytes(Array.init))
  }

  @Test("the halves of a complex number are swapped each on its own, and a single number too")
  func swapped() throws {
    func read(_ type: String) throws -> [UInt8] {
      let file = npy("{'descr': '\(type)', 'fortran_order': True, 'shape': ()}", Array(1...8))
      return try bits(NPY.parse(Bytes(file), name: "x.npy"))
    }
    #expect(try read(">c8") == [4, 3, 2, 1, 8, 7, 6, 5])
    #expect(try read(">i8") == [8, 7, 6, 5, 4, 3, 2, 1])
    #expect(try read("|i8") == [1, 2, 3, 4, 5, 6, 7, 8])
  }

  @Test("aligned rows are a view of the file, and others a copy")
  func views() throws {
    func isView(padding: Int) throws -> Bool {
      let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}" + String(repeating: " ", count: padding)
      let file = Bytes(npy(header, Array(1...16)))
      let array = try NPY.parse(file, name: "x.npy")
      #expect(bits(array) == Array(1...16))
      return file.withUnsafeBytes { file in
        array.withUnsafeBytes {
          $0.baseAddress! >= file.baseAddress! && $0.baseAddress! < file.baseAddress! + file.count
        }
      }
    }
    // The header's text begins at byte 10 and has 55 characters.
    #expect(try isView(padding: 7) == true)
    #expect(try isView(padding: 3) == false)
  }

  @Test(
    "any way to write the header's dictionary is understood",
    arguments: [
      "{\"shape\":(2,),\"descr\":\"|i1\",\"fortran_order\":False}\n",
      " { 'fortran_order' : True ,\n'shape' : ( 2 , ) , 'descr' : '=i1' , } \n\n",
      "{'descr': '>i1', 'fortran_order': False, 'shape': (1L, 2L,), }",
    ])
  func dictionaries(_ header: String) throws {
    #expect(try bits(NPY.parse(Bytes(npy(header, [5, 6])), name: "x.npy")) == [5, 6])
  }

  @Test("what a NumPy file must not be is said in one sentence", arguments: refused)
  func refusals(_ input: BadInput) {
    let error = #expect(throws: ArrayFileError.self) { try NPY.parse(Bytes(input.bytes), name: "x.npy") }
    #expect(error?.description == "x.npy: \(input.sentence)")
    #expect(error?.category == .badData)
  }

  static let refused: [BadInput] = [
    BadInput("hello, world", "is not a .npy file; save it with numpy.save"),
    BadInput([0x93, 0x4E], "is not a .npy file; save it with numpy.save"),
    BadInput([0x93] + "NUMPY\u{1}".utf8, cutOff),
    BadInput([0x93] + "NUMPY\u{1}\0\u{10}".utf8, cutOff),
    BadInput([0x93] + "NUMPY\u{2}\0\u{10}\0\0".utf8, cutOff),
    BadInput([0x93] + "NUMPY\u{1}\0\u{10}\0{'descr'".utf8, cutOff),
    BadInput([0x93] + "NUMPY\u{9}\u{3}\u{1}\0{".utf8, "has the unknown .npy version 9.3; \(again)"),
    BadInput(
      [0x93] + "NUMPY\u{2}\0".utf8 + [255, 255, 255, 255],
      "claims a header of 4294967295 bytes, more than NumPy's 10000; \(again)"),
    header("[1, 2]", "has junk in its header at byte 0, where '{' should be; \(again)"),
    header("{'descr' '<f4'}", "has junk in its header at byte 9, where ':' should be; \(again)"),
    header("{descr: '<f4'}", "has junk in its header at byte 1, where a string should be; \(again)"),
    header("{'descr': '<f\\x34'}", "has junk in its header at byte 11, where a plain string should be; \(again)"),
    header("{'descr': '<f4", "has junk in its header at byte 11, where a plain string should be; \(again)"),
    header(
      "{'descr': '<f4', 'fortran_order': 0}",
      "has junk in its header at byte 34, where True or False should be; \(again)"),
    header("{'descr': '<f4'} {}", "has junk in its header at byte 17, where its end should be; \(again)"),
    header("{'descr': '<f4', 'descr': '<f4'}", "has 'descr' twice in its header; \(again)"),
    header("{'descr': '<f4', 'x': 1}", "has the unknown key 'x' in its header; \(again)"),
    header("{'fortran_order': False, 'shape': ()}", "has no 'descr' in its header; \(again)"),
    header("{'descr': '<f4', 'shape': ()}", "has no 'fortran_order' in its header; \(again)"),
    header("{'descr': '<f4', 'fortran_order': False, }", "has no 'shape' in its header; \(again)"),
    shape("(3)", "has junk in its header at byte 52, where ',' should be; \(again)"),
    shape("[3, 4]", "has junk in its header at byte 50, where '(' should be; \(again)"),
    shape("(3.5,)", "has junk in its header at byte 52, where ',' should be; \(again)"),
    shape("(007,)", "has junk in its header at byte 51, where a whole number should be; \(again)"),
    shape("(,)", "has junk in its header at byte 51, where a whole number should be; \(again)"),
    shape("(3, -4)", "has a negative number in its header; \(again)"),
    shape("(99999999999999999999,)", "has a number in its header that is too large (20 digits); \(again)"),
    shape("(\(String(repeating: "1, ", count: 65)))", "has more than 64 axes; \(again)"),
    shape(
      "(1152921504606846976,)",
      "claims to hold float32 [1152921504606846976], more than any file can; \(again)"),
    shape(
      "(4294967296, 4294967296)", "claims to hold float32 [4294967296, 4294967296], more than any file can; \(again)"),
    shape(
      "(0, 9223372036854775807, 2)",
      "claims to hold float32 [0, 9223372036854775807, 2], more than any file can; \(again)"),
    shape(
      "(1125899906842624,)",
      "should hold float32 [1125899906842624], which is 4503599627370496 bytes, but only 8 follow its header; "
        + "get the whole file again"),
    shape("(3,)", "should hold float32 [3], which is 12 bytes, but only 8 follow its header; get the whole file again"),
    shape("(1,)", "has 4 bytes after its float32 [1]; \(again)"),
    type("'?'", "holds an unknown type ('?'); save numbers, such as array.astype('float64')"),
    type("'<f3'", "holds floats of a size that few machines have ('<f3'); save array.astype('float64')"),
    type("'<i16'", "holds an unknown type ('<i16'); save numbers, such as array.astype('float64')"),
    type("('<f4', (2,))", "holds records of several fields; save each field as an array of its own"),
  ]

  private static let again = "save it again with numpy.save"
  private static let cutOff = "ends inside its header; get the whole file again"
  private static func header(_ text: String, _ sentence: String) -> BadInput { BadInput(npy(text, []), sentence) }
  private static func shape(_ text: String, _ sentence: String) -> BadInput {
    BadInput(npy("{'descr': '<f4', 'fortran_order': False, 'shape': \(text)}", Array(1...8)), sentence)
  }
  private static func type(_ text: String, _ sentence: String) -> BadInput {
    BadInput(npy("{'descr': \(text), 'fortran_order': False, 'shape': (1,)}", Array(1...4)), sentence)
  }

  @Test(
    "NumPy's arrays of anything but numbers are refused",
    arguments: [
      ("object", "holds Python objects ('|O'); save numbers, such as array.astype('float64')"),
      ("record", "holds records of several fields; save each field as an array of its own"),
      ("string", "holds strings ('<U2'); save numbers, such as array.astype('float64')"),
      ("bytes", "holds strings ('|S2'); save numbers, such as array.astype('float64')"),
      ("date", "holds dates or times ('<M8[D]'); save numbers, such as array.astype('int64')"),
      (
        "long-double",
        "holds floats of a size that few machines have ('<f16'); save array.astype('float64')"
      ),
      ("void", "holds raw bytes ('|V2'); save numbers; for bfloat16 use .safetensors"),
    ])
  func foreignTypes(_ kind: String, _ sentence: String) {
    let path = golden("hostile-\(kind).npy")
    let error = #expect(throws: ArrayFileError.self) { try NPY.read(path) }
    #expect(error?.description == "\(path): \(sentence)")
  }

  @Test("a type that NumPy lacks is not written")
  func unwritable() throws {
    try inTemporaryFolder { folder in
      let array = HostArray(.bfloat16, shape: [1], bytes: Bytes([0, 0]))
      let error = #expect(throws: ArrayFileError.self) { try NPY.write(array, to: "\(folder)/a.npy") }
      #expect(error?.description == "\(folder)/a.npy: NumPy has no type bfloat16; write a .safetensors file")
      #expect(error?.category == .cannotWrite)
      let left = try names(in: folder)
      #expect(left.isEmpty)
    }
  }
}

/// A file of version 1.0 with the given header, without padding.
func npy(_ header: String, _ data: [UInt8]) -> [UInt8] {
  [0x93] + "NUMPY".utf8 + [1, 0, UInt8(header.utf8.count & 0xFF), UInt8(header.utf8.count >> 8)] + header.utf8 + data
}
