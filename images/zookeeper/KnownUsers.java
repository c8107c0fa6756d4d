import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.NoSuchAlgorithmException;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.server.ServerCnxn;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/**
 * Accepts only the users that a file names.
 *
 * ZooKeeper's own provider accepts every user with every password; only the access lists of nodes
 * limit what a user may do. So anyone could send a member some hundred requests of a megabyte
 * each, which it keeps until it has refused them one by one, and so exhaust its memory.
 *
 * The file has a line for each user: the name, and the hash of name and password in the form of
 * access lists. It is read each time, because it may be replaced while the member runs. A file
 * that cannot be read names no users.
 */
public final class KnownUsers extends DigestAuthenticationProvider {
    private static final Path USERS = Path.of("/etc/zookeeper/users");

    @Override
    public KeeperException.Code handleAuthentication(ServerCnxn connection, byte[] proof) {
        try {
            String user = generateDigest(new String(proof));
            if (Files.readAllLines(USERS).contains(user)) {
                return super.handleAuthentication(connection, proof);
            }
        } catch (IOException | NoSuchAlgorithmException unknown) {
            // A user that cannot be found in the file is unknown.
        }
        return KeeperException.Code.AUTHFAILED;
    }
}
