package bbq.client;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** An address that stays while the servers behind it come and go. */
final class Proxy implements AutoCloseable {
  private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
  /** The server's port; 0 is nobody, where connections end as they come. */
  private volatile int server;

  Proxy(int server) throws IOException {
    this.server = server;
    start(this::accept);
  }

  int port() {
    return listener.getLocalPort();
  }

  /** Cuts all connections; those to come go to another server. */
  void become(int other) throws IOException {
    server = other;
    for (Socket socket : sockets) {
      socket.close();
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
    become(0);
  }

  private void accept() throws IOException {
    while (true) {
      Socket client = listener.accept();
      if (server == 0) {
        client.close();
        continue;
      }
      Socket behind = new Socket(InetAddress.getLoopbackAddress(), server);
      sockets.add(client);
      sockets.add(behind);
      start(() -> copy(client, behind));
      start(() -> copy(behind, client));
    }
  }

  private static void copy(Socket from, Socket to) throws IOException {
    try (from; to) {
      from.getInputStream().transferTo(to.getOutputStream());
    }
  }

  private interface Work {
    void run() throws IOException;
  }

  private static void start(Work work) {
    Thread thread = new Thread(() -> {
      try {
        work.run();
      } catch (IOException closed) {
        // One side is gone, and the other one with it.
      }
    });
    thread.setDaemon(true);
    thread.start();
  }
}
